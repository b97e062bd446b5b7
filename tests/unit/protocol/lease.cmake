find_package(GTest REQUIRED)
include(GoogleTest)
add_executable(protocol_lease_tests
  ${CMAKE_CURRENT_LIST_DIR}/lease_table_random_test.cpp
  ${CMAKE_CURRENT_LIST_DIR}/lease_table_test.cpp)
target_link_libraries(protocol_lease_tests PRIVATE cairn_internal GTest::gtest_main)
gtest_discover_tests(protocol_lease_tests PROPERTIES LABELS unit)
