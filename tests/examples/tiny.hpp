// SPDX-License-Identifier: MIT
// A run of examples/align that takes a moment, also under a sanitizer.
#pragma once

#include "align/trainer.hpp"

#include <filesystem>
#include <string>
#include <unistd.h>

inline align::settings tiny_settings() {
  align::settings s;
  s.model = {.context = 40, .width = 16, .layers = 2, .heads = 2};
  s.pairs = 40;
  s.sft_steps = 6;
  s.steps = 8;
  s.batch = 6;
  s.micro_batch = 4;
  s.warmup = 2;
  s.threads = 1;
  s.log_every = 2;
  s.evaluate_every = 4;
  return s;
}

/// A folder that is removed with its contents.
struct scratch_folder {
  std::filesystem::path path;

  explicit scratch_folder(const std::string& name)
      : path(std::filesystem::temp_directory_path() / ("attune_" + name + std::to_string(getpid()))) {
    std::filesystem::create_directories(path);
  }
  ~scratch_folder() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name) const { return (path / name).string(); }
};
