// Plain settings from TypeScript: complete and validated there, read here by name.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "error.h"

namespace dpm {

class Settings {
 public:
  using Value = std::variant<double, std::string, bool, std::vector<double>, std::vector<std::string>, std::shared_ptr<const Settings>,
                             std::vector<std::shared_ptr<const Settings>>>;

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  double number(const std::string& name) const { return get<double>(name, "a number"); }
  std::int64_t integer(const std::string& name) const { return whole(number(name), name); }
  const std::string& text(const std::string& name) const { return get<std::string>(name, "a string"); }
  bool flag(const std::string& name) const { return get<bool>(name, "a boolean"); }
  const Settings& nested(const std::string& name) const { return *get<std::shared_ptr<const Settings>>(name, "settings"); }
  std::vector<std::string> texts(const std::string& name) const { return list<std::string>(name, "a list of strings"); }
  std::vector<std::shared_ptr<const Settings>> nested_list(const std::string& name) const {
    return list<std::shared_ptr<const Settings>>(name, "a list of settings");
  }
  std::vector<std::int64_t> integers(const std::string& name) const {
    const auto& list = get<std::vector<double>>(name, "a list of numbers");
    std::vector<std::int64_t> result;
    for (const double number : list) result.push_back(whole(number, name));
    return result;
  }

 private:
  // Sizes and counts: the bound keeps their products within 63 bits.
  static std::int64_t whole(double number, const std::string& name) {
    DPM_CHECK(number >= 0 && number <= 1e6 && number == static_cast<double>(static_cast<std::int64_t>(number)), "DPM_INVALID_OPTION",
              "Expected a whole number from 0 to 1000000 for the native setting `" + name + "` but received " + std::to_string(number) + ".");
    return static_cast<std::int64_t>(number);
  }

  // An empty list arrives as one of numbers, whatever it might have held.
  template <typename Item>
  std::vector<Item> list(const std::string& name, const char* what) const {
    const auto found = values_.find(name);
    if (found != values_.end()) {
      const auto* numbers = std::get_if<std::vector<double>>(&found->second);
      if (numbers && numbers->empty()) return {};
    }
    return get<std::vector<Item>>(name, what);
  }

  template <typename T>
  const T& get(const std::string& name, const char* what) const {
    const auto found = values_.find(name);
    DPM_CHECK(found != values_.end(), "DPM_INTERNAL", "Native code was not given the setting `" + name + "`.");
    const T* value = std::get_if<T>(&found->second);
    DPM_CHECK(value, "DPM_INTERNAL", "Expected " + std::string(what) + " for the native setting `" + name + "`.");
    return *value;
  }

  std::map<std::string, Value> values_;
};

}  // namespace dpm
