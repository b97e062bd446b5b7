# Fails unless each seed that make_corpus writes is in the committed corpus, byte for byte. The
# corpus may hold more: inputs that a fuzzer found.
file(REMOVE_RECURSE ${MADE})
execute_process(COMMAND ${MAKE_CORPUS} ${PROTOCOL} ${MADE} COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE seeds RELATIVE ${MADE} ${MADE}/*)
if(NOT seeds)
  message(FATAL_ERROR "no seeds were made")
endif()
foreach(seed IN LISTS seeds)
  execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${MADE}/${seed} ${CORPUS}/${seed}
    RESULT_VARIABLE differs)
  if(differs)
    message(FATAL_ERROR "${seed} is not the committed one: run make_corpus")
  endif()
endforeach()
