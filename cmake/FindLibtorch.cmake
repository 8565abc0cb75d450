# Finds an unpacked libtorch (a release zip, or the torch folder of the PyPI wheel) at DPM_LIBTORCH_ROOT and defines
# Libtorch::cpu. torch's own package config is not used: the one in the CUDA wheel demands an installed CUDA toolkit,
# which the core does not need.
set(DPM_LIBTORCH_ROOT "$ENV{DPM_LIBTORCH_ROOT}" CACHE PATH "folder that holds libtorch's lib/ and include/")

find_path(LIBTORCH_INCLUDE_DIR ATen/ATen.h HINTS "${DPM_LIBTORCH_ROOT}/include" NO_DEFAULT_PATH)
find_library(LIBTORCH_CPU_LIBRARY torch_cpu HINTS "${DPM_LIBTORCH_ROOT}/lib" NO_DEFAULT_PATH)
find_library(LIBTORCH_C10_LIBRARY c10 HINTS "${DPM_LIBTORCH_ROOT}/lib" NO_DEFAULT_PATH)
find_library(LIBTORCH_GOMP_LIBRARY NAMES libgomp.so.1 HINTS "${DPM_LIBTORCH_ROOT}/lib" NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  Libtorch
  REQUIRED_VARS LIBTORCH_CPU_LIBRARY LIBTORCH_C10_LIBRARY LIBTORCH_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "Set DPM_LIBTORCH_ROOT, or run 'npx dpm-torch setup' first.")

if(Libtorch_FOUND AND NOT TARGET Libtorch::cpu)
  add_library(Libtorch::c10 SHARED IMPORTED)
  set_target_properties(Libtorch::c10 PROPERTIES IMPORTED_LOCATION "${LIBTORCH_C10_LIBRARY}")
  add_library(Libtorch::cpu SHARED IMPORTED)
  set_target_properties(
    Libtorch::cpu
    PROPERTIES IMPORTED_LOCATION "${LIBTORCH_CPU_LIBRARY}"
               INTERFACE_INCLUDE_DIRECTORIES "${LIBTORCH_INCLUDE_DIR};${LIBTORCH_INCLUDE_DIR}/torch/csrc/api/include"
               INTERFACE_LINK_LIBRARIES Libtorch::c10
               # libtorch's own dependencies (libcudart, libcupti in the CUDA wheel) are found when it is loaded.
               INTERFACE_LINK_OPTIONS "-Wl,--allow-shlib-undefined;-Wl,-rpath-link,${DPM_LIBTORCH_ROOT}/lib")
  # The OpenMP runtime that libtorch itself uses, so that one pool of threads serves both.
  if(LIBTORCH_GOMP_LIBRARY)
    set_property(TARGET Libtorch::cpu APPEND PROPERTY INTERFACE_LINK_LIBRARIES "${LIBTORCH_GOMP_LIBRARY}")
  else()
    set_property(TARGET Libtorch::cpu APPEND PROPERTY INTERFACE_LINK_LIBRARIES gomp)
  endif()
endif()
