# Finds NVIDIA's compiler, at DPM_NVCC only (`node scripts/nvcc.mjs` prints one), and defines Nvcc_VERSION and
#
#   nvcc_objects(<variable> SOURCES <file.cu>... INCLUDES <folder>...)
#
# CMake's own CUDA language is not used: it wants a whole toolkit, links a CUDA runtime and probes for both, and the
# compiler from the Python index is nvcc alone.
set(DPM_NVCC "" CACHE FILEPATH "nvcc, for the CUDA kernels")

if(DPM_NVCC)
  execute_process(COMMAND "${DPM_NVCC}" --version OUTPUT_VARIABLE NVCC_ANSWER ERROR_VARIABLE NVCC_ANSWER RESULT_VARIABLE NVCC_STATUS)
  if(NVCC_STATUS EQUAL 0 AND NVCC_ANSWER MATCHES "release ([0-9]+\\.[0-9]+)")
    set(Nvcc_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  Nvcc
  REQUIRED_VARS DPM_NVCC Nvcc_VERSION
  VERSION_VAR Nvcc_VERSION
  REASON_FAILURE_MESSAGE "Set DPM_NVCC to what `node scripts/nvcc.mjs` prints, or DPM_CUDA to OFF.")

# Machine code for Turing, Ampere (data centre, consumer), Ada, Hopper and Blackwell (data centre, consumer), and the last
# one's PTX for what comes after. Code of 8.6, 10.0 and 12.0 also runs on the later members of their families.
set(DPM_CUDA_ARCHITECTURES 75 80 86 89 90 100 120 CACHE STRING "compute capabilities to compile the CUDA kernels for")

function(nvcc_objects result)
  cmake_parse_arguments(ARG "" "" "SOURCES;INCLUDES" ${ARGN})
  set(targets)
  foreach(architecture IN LISTS DPM_CUDA_ARCHITECTURES)
    list(APPEND targets "-gencode=arch=compute_${architecture},code=sm_${architecture}")
  endforeach()
  list(GET DPM_CUDA_ARCHITECTURES -1 last)
  list(APPEND targets "-gencode=arch=compute_${last},code=compute_${last}")
  list(TRANSFORM ARG_INCLUDES PREPEND "-I" OUTPUT_VARIABLE includes)
  set(objects)
  foreach(source IN LISTS ARG_SOURCES)
    get_filename_component(name "${source}" NAME)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/nvcc/${name}.o")
    # No contraction: the same bits as the CPU's loops, which are compiled without it too.
    add_custom_command(
      OUTPUT "${object}"
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${CMAKE_CURRENT_BINARY_DIR}/nvcc"
      COMMAND "${DPM_NVCC}" -c -std=c++20 -O3 --fmad=false --Werror=all-warnings "-ccbin=${CMAKE_CXX_COMPILER}"
              "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra" ${targets} ${includes} -MD -MF "${object}.d" -o "${object}" "${source}"
      DEPENDS "${source}"
      DEPFILE "${object}.d"
      COMMENT "Compiling ${name} with nvcc ${Nvcc_VERSION}"
      VERBATIM)
    list(APPEND objects "${object}")
  endforeach()
  set(${result} "${objects}" PARENT_SCOPE)
endfunction()
