# SPDX-License-Identifier: MIT
# cmake -DEXPLORE=... -DDATA=... -DSCRATCH=... -P is_current.cmake
execute_process(COMMAND ${EXPLORE} list --json OUTPUT_FILE ${SCRATCH}/catalogue.json COMMAND_ERROR_IS_FATAL ANY)
file(SHA256 ${SCRATCH}/catalogue.json catalogue)
file(STRINGS ${DATA} first LIMIT_COUNT 1)
if(NOT first STREQUAL "catalogue sha256 ${catalogue}")
  message(FATAL_ERROR "The catalogue has changed since the oracle was made: explore list --json | python3 tests/oracle/generate.py > tests/data/oracle.txt, "
                      "then sha256sum tests/data/oracle.txt > tests/data/oracle.txt.sha256\n  file:      ${first}\n  catalogue: ${catalogue}")
endif()
file(SHA256 ${DATA} content)
file(STRINGS ${DATA}.sha256 digest LIMIT_COUNT 1)
if(NOT digest MATCHES "^${content} ")
  message(FATAL_ERROR "tests/data/oracle.txt was edited by hand, or its digest was not renewed: it is ${content}, ${digest} is committed")
endif()
