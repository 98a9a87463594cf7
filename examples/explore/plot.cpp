// SPDX-License-Identifier: MIT
#include "plot.hpp"

#include <attune/core/error.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace explore {
namespace {

std::string quoted(const std::string& text) {  // gnuplot single quotes: a quote is doubled
  std::string q = "'";
  for (char c : text) q += c == '\'' ? std::string("''") : std::string(1, c);
  return q + "'";
}

void panel(std::FILE* pipe, const std::vector<curves>& all, std::size_t column, const char* label) {
  std::fprintf(pipe, "set ylabel '%s'\nset xlabel %s\nplot ", label, quoted(all.front().axis).c_str());
  for (std::size_t k = 0; k < all.size(); ++k) {
    std::fprintf(pipe, "%s'-' using 1:2 with lines linewidth 2 title %s noenhanced", k ? ", " : "", quoted(all[k].name).c_str());
  }
  std::fputc('\n', pipe);
  for (const curves& c : all) {
    for (const auto& row : c.points.rows) {
      if (std::isfinite(row[column])) std::fprintf(pipe, "%.9g %.9g\n", row[0], row[column]);
    }
    std::fputs("e\n", pipe);
  }
}

}  // namespace

void plot(const std::vector<curves>& all, const std::string& path) {
  const bool png = path.size() > 4 && path.compare(path.size() - 4, 4, ".png") == 0;
  const bool svg = path.size() > 4 && path.compare(path.size() - 4, 4, ".svg") == 0;
  if (!png && !svg) throw attune::error("the picture's name is " + path + "; expected one that ends in .svg or .png");
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) throw attune::error("gnuplot is needed for pictures and was not found (Debian: gnuplot-nox)");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen("gnuplot", "w"), &pclose);
  if (!pipe) throw attune::error("gnuplot could not be started");
  std::fprintf(pipe.get(), "set terminal %s size 800,800\nset output %s\nset grid\nset key outside top center horizontal\nset multiplot layout 2,1\n",
               png ? "png" : "svg", quoted(path).c_str());
  panel(pipe.get(), all, 1, "value");
  panel(pipe.get(), all, 2, "derivative");
  std::fputs("unset multiplot\nset output\n", pipe.get());
  std::fflush(pipe.get());
}

}  // namespace explore
