// SPDX-License-Identifier: MIT
#pragma once

#include "settings.hpp"
#include "state.hpp"

namespace align {

/// A number that says which data a run has seen.
std::uint64_t digest(const std::vector<preference_text>& pairs);

/// The state after any step, in one file: a header line, a JSON line (fingerprint, digest, counters, history; numbers in a form that is
/// read back exactly), the arrays of floats, and a checksum. Written beside the target and then renamed, so that the file is always whole.
/// Throws std::runtime_error if it cannot be written.
void save_checkpoint(const std::string& path, const training_state& state, const settings& s, std::uint64_t data_digest);

/// Reads a state back: the run goes on as if it had never stopped, bit for bit. Throws attune::error for a file that is damaged, or comes
/// from other settings or data (it says which), before `state` is touched.
void load_checkpoint(const std::string& path, training_state& state, const settings& s, std::uint64_t data_digest);

}  // namespace align
