// Errors that carry a dpm-torch code, and the one ladder that turns any exception into a code, a message and a stack.
#pragma once
#include <stdexcept>
#include <string>

namespace dpm {

class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

// What JavaScript is told of a failed job.
struct Failure {
  std::string code;
  std::string message;
  std::string native_stack;
};

// Call inside a catch block.
Failure describe_current_exception() noexcept;

}  // namespace dpm

// Throws dpm::Error(code, message) unless the condition holds. The only macro of the house.
#define DPM_CHECK(condition, code, message)                  \
  do {                                                       \
    if (!(condition)) throw ::dpm::Error((code), (message)); \
  } while (false)
