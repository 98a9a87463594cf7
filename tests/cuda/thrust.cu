// SPDX-License-Identifier: MIT
// Runs the tests of the Thrust backend (tests/backend/thrust_*.cpp), compiled for a GPU. Without a GPU the program has been compiled and linked; it then
// says so and exits with 77.
#define CATCH_CONFIG_RUNNER
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#include <catch2/catch.hpp>
#endif

#include <cstdio>

int main(int count, char** arguments) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("skipped: compiled and linked; there is no GPU to run on");
    return 77;
  }
  return Catch::Session().run(count, arguments);
}
