# Adds sources and headers of one folder to a library target, so that each folder's CMakeLists.txt
# is its table of contents. PUBLIC_HEADERS are installed as they lie under include/; PRIVATE_HEADERS
# are seen by the project's own targets through cairn_internal and are never installed.
function(cairn_sources target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PUBLIC_HEADERS;PRIVATE_HEADERS;SOURCES")
  if(arg_PUBLIC_HEADERS)
    target_sources(${target} PUBLIC FILE_SET HEADERS
      BASE_DIRS ${CMAKE_CURRENT_SOURCE_DIR}/include FILES ${arg_PUBLIC_HEADERS})
  endif()
  target_sources(${target} PRIVATE ${arg_SOURCES} ${arg_PRIVATE_HEADERS})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/include)
  target_include_directories(cairn_internal INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/include)
endfunction()

# A static library cairn_NAME, also cairn::NAME.
function(cairn_library name)
  add_library(cairn_${name} STATIC)
  add_library(cairn::${name} ALIAS cairn_${name})
  target_compile_features(cairn_${name} PUBLIC cxx_std_20)
  set_target_properties(cairn_${name} PROPERTIES
    EXPORT_NAME ${name} CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
endfunction()
