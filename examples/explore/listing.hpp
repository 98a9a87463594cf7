// SPDX-License-Identifier: MIT
// The catalogue as text, JSON and Markdown.
#pragma once

#include <iosfwd>

namespace explore {

void list_text(std::ostream& out);
void list_json(std::ostream& out);

}  // namespace explore
