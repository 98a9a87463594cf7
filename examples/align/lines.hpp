// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <string>
#include <sys/types.h>

namespace align {

/// The lines of a file, plain or gzip. The latter goes through the program `gzip`, started without a shell: the file is its standard
/// input, so no character of the path is ever interpreted. Throws std::runtime_error if the file or gzip fails.
class line_reader {
 public:
  explicit line_reader(const std::string& path);
  ~line_reader();
  line_reader(const line_reader&) = delete;
  line_reader& operator=(const line_reader&) = delete;

  /// False at the end, and then the source is known to have been read completely.
  bool next(std::string& line);

 private:
  void finish();

  std::string path_;
  std::FILE* stream_ = nullptr;
  pid_t gzip_ = -1;
  char* buffer_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace align
