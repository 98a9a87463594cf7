# SPDX-License-Identifier: MIT
# cmake -DCOMMAND=<compiler and arguments> [-DEXPECT=<regular expression>] -P check.cmake
# Runs the compiler. With EXPECT it must refuse the source, with a message that matches; without, it must accept it.
set(ENV{LC_ALL} C)
execute_process(COMMAND ${COMMAND} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status MATCHES "^[0-9]+$")
  message(FATAL_ERROR "the compiler could not be run: ${status}")
elseif(EXPECT STREQUAL "")
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "expected to compile, but:\n${output}")
  endif()
elseif(status EQUAL 0)
  message(FATAL_ERROR "expected to be refused with \"${EXPECT}\", but it compiles")
elseif(NOT output MATCHES "error: [^\n]*${EXPECT}")
  message(FATAL_ERROR "expected to be refused with \"${EXPECT}\", but the compiler says:\n${output}")
endif()
