# Installs the headers of the targets' file sets, the static libraries, and what find_package(cairn)
# and pkg-config read. All of it may be moved as one tree: no file names the prefix.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)
install(TARGETS cairn cairn_wire EXPORT cairnTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT cairnTargets NAMESPACE cairn:: DESTINATION ${package_dir})

# The store, where it was built.
install(TARGETS cairn_store cairn_store_server EXPORT cairnStoreTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} OPTIONAL
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT cairnStoreTargets NAMESPACE cairn:: DESTINATION ${package_dir})
if(TARGET cairnd)
  install(TARGETS cairnd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} OPTIONAL)
  install(FILES daemon/cairnd.service DESTINATION lib/systemd/system)
endif()
if(TARGET cairn_command)
  install(TARGETS cairn_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} OPTIONAL)
endif()

configure_package_config_file(cmake/cairnConfig.cmake.in cairnConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change what callers see.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cairnConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cairnConfig.cmake ${PROJECT_BINARY_DIR}/cairnConfigVersion.cmake
  DESTINATION ${package_dir})

# The .pc file finds its prefix from where it lies.
cmake_path(APPEND CMAKE_INSTALL_PREFIX ${CMAKE_INSTALL_LIBDIR} pkgconfig OUTPUT_VARIABLE pc_dir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${pc_dir} OUTPUT_VARIABLE pc_prefix)
list(JOIN libzmq_LDFLAGS " " pc_libzmq)
list(JOIN xxhash_LDFLAGS " " pc_xxhash)
configure_file(cmake/cairn.pc.in cairn.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cairn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
