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

# A .pc file finds its prefix from where it lies.
cmake_path(APPEND CMAKE_INSTALL_PREFIX ${CMAKE_INSTALL_LIBDIR} pkgconfig OUTPUT_VARIABLE pc_dir)
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${pc_dir} OUTPUT_VARIABLE pc_prefix)
# cairn_pc(TARGET DESCRIPTION flags...): for a library, where it was built.
function(cairn_pc target pc_description)
  set(pc_name ${target})
  list(JOIN ARGN " " pc_libs)
  configure_file(cmake/cairn.pc.in ${target}.pc @ONLY)
  install(CODE "if(EXISTS \"$<TARGET_FILE:${target}>\")
  file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/pkgconfig\"
    TYPE FILE FILES \"${PROJECT_BINARY_DIR}/${target}.pc\")
endif()")
endfunction()
set(pc_store -lcairn_store -lcairn_wire ${lmdb_LDFLAGS} ${xxhash_LDFLAGS})
cairn_pc(cairn "${PROJECT_DESCRIPTION}"
  -lcairn -lcairn_wire ${libzmq_LDFLAGS} ${xxhash_LDFLAGS})
cairn_pc(cairn_store "The durable log of cairn, as a library" ${pc_store})
cairn_pc(cairn_store_server "The store of cairn, to embed"
  -lcairn_store_server -lcairn ${pc_store} ${libzmq_LDFLAGS})
