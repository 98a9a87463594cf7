// SPDX-License-Identifier: MIT
#pragma once

namespace attune::detail {

/// What runs bodies on a device: Thrust's execution policies, attune::cuda. Has launch(policy, n, body).
template <class P> inline constexpr bool is_device_policy = false;
template <class P>
concept device_policy = is_device_policy<P>;

}  // namespace attune::detail
