# How tests are registered: every one has a label, a time limit, and the environment of its preset.
option(CAIRN_TEST_TREE
  "Also test what no compiler flag changes: style, texts, installation, negative controls" ON)
option(CAIRN_TEST_SINGLE_THREADED "Also test what no two threads share" ON)
set(CAIRN_TEST_SUFFIX "" CACHE STRING "Appended to test names, so that reports tell presets apart")
set(CAIRN_TEST_ENVIRONMENT "" CACHE STRING "NAME=VALUE set for each test (sanitizer options)")
set(CAIRN_TEST_LEAKS "" CACHE FILEPATH "Leaks that the leak sanitizer does not count")
mark_as_advanced(CAIRN_TEST_TREE CAIRN_TEST_SINGLE_THREADED
  CAIRN_TEST_SUFFIX CAIRN_TEST_ENVIRONMENT CAIRN_TEST_LEAKS)

if(CAIRN_BUILD_TESTS)
  find_package(GTest 1.12 REQUIRED)
  include(GoogleTest)
endif()

# What nearly all tests include, read once for all of them. Headers of others only, as wherever
# headers are precompiled: when only a comment of a header changes, ccache hands out the precompiled
# form of before, and in that the compiler does not find the header by its `#pragma once`.
if(CAIRN_BUILD_TESTS AND CAIRN_FOR_TESTS_ONLY)
  file(WRITE ${CMAKE_BINARY_DIR}/test_headers.cpp "")
  add_library(cairn_test_headers OBJECT ${CMAKE_BINARY_DIR}/test_headers.cpp)
  target_compile_features(cairn_test_headers PRIVATE cxx_std_20)
  target_link_libraries(cairn_test_headers PRIVATE GTest::gtest Threads::Threads)
  target_precompile_headers(cairn_test_headers PRIVATE <gtest/gtest.h>
    <algorithm> <array> <atomic> <chrono> <condition_variable> <deque> <filesystem> <fstream>
    <functional> <map> <memory> <mutex> <optional> <random> <set> <span> <sstream> <string>
    <string_view> <thread> <unordered_map> <utility> <variant> <vector>)
endif()

# cairn_test_program(NAME LABEL label SOURCES a_test.cpp... [TIMEOUT seconds] [LIBRARIES target...]
#   [PROCESSORS count] [APART])
# One executable of GoogleTest tests; each TEST becomes a test of its own. PROCESSORS: how many
# tests one of it counts as, for ctest not to run too much beside. APART: the sources use the same
# names for different things, so a unity build compiles them one by one.
function(cairn_test_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "APART" "LABEL;TIMEOUT;PROCESSORS" "SOURCES;LIBRARIES")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE
    ${arg_LIBRARIES} cairn_test_support cairn_internal GTest::gtest_main)
  if(arg_APART)
    set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  endif()
  if(CAIRN_FOR_TESTS_ONLY)
    target_precompile_headers(${name} REUSE_FROM cairn_test_headers)
  endif()
  set(properties LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
  if(arg_PROCESSORS)
    list(APPEND properties PROCESSORS ${arg_PROCESSORS})
  endif()
  if(CAIRN_TEST_ENVIRONMENT)
    list(APPEND properties ENVIRONMENT ${CAIRN_TEST_ENVIRONMENT})
  endif()
  if(CAIRN_TEST_LEAKS)
    list(APPEND properties ENVIRONMENT_MODIFICATION
      LSAN_OPTIONS=set:suppressions=${CAIRN_TEST_LEAKS}:print_suppressions=0)
  endif()
  gtest_discover_tests(${name}
    TEST_SUFFIX "${CAIRN_TEST_SUFFIX}" DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
endfunction()

# cairn_test_command(NAME LABEL label COMMAND program args... [TIMEOUT seconds] [PROPERTIES ...])
# A test that is a command line: it passes when the command returns 0.
function(cairn_test_command name)
  if(NOT CAIRN_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;TIMEOUT" "COMMAND;PROPERTIES")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set(test "${name}${CAIRN_TEST_SUFFIX}")
  add_test(NAME "${test}" COMMAND ${arg_COMMAND})
  set_tests_properties("${test}" PROPERTIES
    LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ${arg_PROPERTIES})
  if(CAIRN_TEST_ENVIRONMENT)
    set_property(TEST "${test}" APPEND PROPERTY ENVIRONMENT "${CAIRN_TEST_ENVIRONMENT}")
  endif()
  if(CAIRN_TEST_LEAKS)
    set_property(TEST "${test}" PROPERTY ENVIRONMENT_MODIFICATION
      LSAN_OPTIONS=set:suppressions=${CAIRN_TEST_LEAKS}:print_suppressions=0)
  endif()
endfunction()
