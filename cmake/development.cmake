# SPDX-License-Identifier: MIT
# How the tests, examples and benchmarks are compiled. Nothing of this reaches a user of attune::attune.
if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release)
  endif()
  find_program(ATTUNE_CCACHE ccache DOC "Compiler cache, used when found")
  if(ATTUNE_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${ATTUNE_CCACHE})
  endif()
  enable_testing()
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(attune_warnings -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(ATTUNE_WERROR)
  list(APPEND attune_warnings -Werror)
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${attune_warnings}>")

if(ATTUNE_SANITIZE)
  # Also the standard library's own checks of indices and preconditions; an error ends the program, so that a test sees it.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=address,undefined)
endif()
# For programs that instantiate every unit once more to print or look it up: with checks they take the compiler longer than the whole suite.
# The units themselves are run with checks by tests/catalog.
function(attune_without_sanitizers target)
  if(ATTUNE_SANITIZE)
    target_compile_options(${target} PRIVATE -fno-sanitize=all)
  endif()
endfunction()
