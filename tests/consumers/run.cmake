# SPDX-License-Identifier: MIT
# cmake -D ATTUNE=<repository> -D CONSUMER=<folder here> -D BUILD=<folder> [-D OPTIONS=<configure options>] [-D EXPECT=<regex>] -P run.cmake
# Configures, builds, runs and installs a consumer from nothing. With EXPECT, configuring must fail with that message instead.
file(REMOVE_RECURSE ${BUILD})
set(source ${CMAKE_CURRENT_LIST_DIR}/${CONSUMER})
separate_arguments(OPTIONS UNIX_COMMAND "${OPTIONS}")
set(configure ${CMAKE_COMMAND} -S ${source} -B ${BUILD} -D ATTUNE=${ATTUNE} -D CMAKE_CXX_COMPILER=${CXX} ${OPTIONS})

if(EXPECT)
  execute_process(COMMAND ${configure} RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE message)
  string(REGEX REPLACE "[ \n]+" " " message "${message}")
  if(status EQUAL 0 OR NOT message MATCHES "${EXPECT}")
    message(FATAL_ERROR "expected configuring to fail with '${EXPECT}'; status ${status}: ${message}")
  endif()
  return()
endif()

execute_process(COMMAND ${configure} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${BUILD}/consumer COMMAND_ERROR_IS_FATAL ANY)

if(CONSUMER STREQUAL "add_subdirectory")
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${BUILD}/prefix COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB_RECURSE installed RELATIVE ${BUILD}/prefix ${BUILD}/prefix/*)
  if(NOT installed STREQUAL "bin/consumer")
    message(FATAL_ERROR "expected only bin/consumer to be installed; got ${installed}")
  endif()
endif()
