// A network that came from Python as TorchScript: lib/networks/torch-script.ts says what it must look like.
#pragma once
#include <torch/csrc/jit/api/module.h>

#include <string>
#include <vector>

#include "networks/network.h"

namespace dpm {

class ScriptNetwork final : public Network {
 public:
  // Reads the file. Throws DPM_FILE_INVALID for one that is no TorchScript module or has tensors of another type than
  // float32, DPM_INVALID_OPTION where its arguments cannot be told apart.
  explicit ScriptNetwork(const Settings& settings);

  // The file's own weights instead of drawn ones, and a first run on zeros: a module of other shapes is refused here.
  void start(const std::vector<at::Tensor>& parameters, const at::Device& device) override;
  at::Tensor forward(Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const override;

 private:
  // Where the module keeps a tensor; several places may share one parameter.
  struct Place {
    c10::intrusive_ptr<c10::ivalue::Object> owner;
    std::size_t slot;
    ParameterIndex parameter;
  };
  void find_tensors();
  void find_roles(const Settings& settings);
  void bind(const std::vector<at::Tensor>& parameters) const;
  void unbind() const;
  at::Tensor run(const Pass& pass, const at::Tensor& x, const Conditioning& conditioning) const;

  std::string file_;
  bool whole_times_;
  mutable torch::jit::Module module_;
  std::vector<Place> places_;
  std::vector<at::Tensor> first_values_;
  std::vector<std::string> roles_;  // of forward's arguments after self
};

}  // namespace dpm
