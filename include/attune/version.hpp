// SPDX-License-Identifier: MIT
#pragma once

// The one place that states the version; CMake, the package files and the documentation read it from here.
#define ATTUNE_VERSION_MAJOR 0
#define ATTUNE_VERSION_MINOR 1
#define ATTUNE_VERSION_PATCH 0
