#include "error.h"

#include <c10/util/Exception.h>

#include <new>

namespace dpm {
namespace {

std::string stack_of(const c10::Error& error) {
  const auto& backtrace = error.backtrace();
  return backtrace ? backtrace->get() : "";
}

}  // namespace

// From the most to the least specific; by reference; ending in everything.
Failure describe_current_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return {error.code(), error.what(), ""};
  } catch (const c10::OutOfMemoryError& error) {
    return {"DPM_OUT_OF_MEMORY", error.what_without_backtrace(), stack_of(error)};
  } catch (const c10::NotImplementedError& error) {
    return {"DPM_NOT_IMPLEMENTED", error.what_without_backtrace(), stack_of(error)};
  } catch (const c10::IndexError& error) {
    return {"DPM_INVALID_ARGUMENT", error.what_without_backtrace(), stack_of(error)};
  } catch (const c10::ValueError& error) {
    return {"DPM_INVALID_ARGUMENT", error.what_without_backtrace(), stack_of(error)};
  } catch (const c10::TypeError& error) {
    return {"DPM_INVALID_ARGUMENT", error.what_without_backtrace(), stack_of(error)};
  } catch (const c10::Error& error) {
    // The CPU allocator reports exhaustion as a plain error.
    const std::string message = error.what_without_backtrace();
    const bool memory = message.find("allocate memory") != std::string::npos || message.find("out of memory") != std::string::npos;
    return {memory ? "DPM_OUT_OF_MEMORY" : "DPM_NATIVE", message, stack_of(error)};
  } catch (const std::bad_alloc&) {
    return {"DPM_OUT_OF_MEMORY", "The machine has no memory left.", ""};
  } catch (const std::exception& error) {
    return {"DPM_NATIVE", error.what(), ""};
  } catch (...) {
    return {"DPM_NATIVE", "An exception of unknown type was thrown.", ""};
  }
}

}  // namespace dpm
