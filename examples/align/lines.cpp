// SPDX-License-Identifier: MIT
#include "lines.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <spawn.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace align {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) { throw std::runtime_error(path + ": " + what); }

bool is_gzip(int file) {
  unsigned char magic[2] = {};
  return pread(file, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

/// Starts `gzip -dc` between `file` and a pipe; returns the pipe's reading end.
int spawn_gzip(int file, pid_t& process, const std::string& path) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail(path, std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, file, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  char name[] = "gzip", option[] = "-dc";
  char* arguments[] = {name, option, nullptr};
  const int error = posix_spawnp(&process, name, &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    process = -1;
    fail(path, std::string("is compressed, but the program gzip cannot be started (") + std::strerror(error) +
                   "); install gzip or decompress the file");
  }
  return ends[0];
}

}  // namespace

line_reader::line_reader(const std::string& path) : path_(path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(path, std::string("cannot be opened: ") + std::strerror(errno));
  if (is_gzip(file)) {
    const int compressed = file;
    try {
      file = spawn_gzip(compressed, gzip_, path);
    } catch (...) {
      close(compressed);
      throw;
    }
    close(compressed);
  }
  stream_ = fdopen(file, "r");
  if (stream_ == nullptr) {
    close(file);
    fail(path, "cannot be read");
  }
}

line_reader::~line_reader() {
  std::fclose(stream_);
  if (gzip_ > 0) waitpid(gzip_, nullptr, 0);  // left early: gzip ends by its closed pipe
  std::free(buffer_);
}

bool line_reader::next(std::string& line) {
  const ssize_t length = getline(&buffer_, &capacity_, stream_);
  if (length < 0) {
    finish();
    return false;
  }
  line.assign(buffer_, std::size_t(length));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return true;
}

void line_reader::finish() {
  if (std::ferror(stream_)) fail(path_, std::string("cannot be read to its end: ") + std::strerror(errno));
  if (gzip_ <= 0) return;
  int status = 0;
  while (waitpid(gzip_, &status, 0) < 0 && errno == EINTR) {
  }
  gzip_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail(path_, "gzip could not decompress it to its end; nothing of it is used");
}

}  // namespace align
