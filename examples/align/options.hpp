// SPDX-License-Identifier: MIT
#pragma once

#include "settings.hpp"

#include <optional>

namespace align {

/// The command line as settings; an exit status instead if there is nothing to run (help, or an error, which has been reported).
std::optional<int> parse_command_line(int argc, char** argv, settings& s);

}  // namespace align
