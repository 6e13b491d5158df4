// Named tensors from Python -> checked views. Nothing is copied here.
//
// In: LimbeckTensor descriptions. Out: a lookup by name in which every tensor that the model needs is present, with the
// right shape and number format, and none is left over. Neighbour: model/model.cc packs what it finds here.
#ifndef LIMBECK_MODEL_WEIGHTS_H_
#define LIMBECK_MODEL_WEIGHTS_H_

#include <map>
#include <string>

#include "bind/limbeck.h"
#include "ops/linear.h"

namespace limbeck {

class Weights {
 public:
  // Throws Error naming the tensor and what is wrong with it.
  Weights(const LimbeckModelSpec& spec, const LimbeckTensor* tensors, int32_t count);

  const LimbeckTensor& Find(const std::string& name) const { return *by_name_.at(name); }
  const float* Floats(const std::string& name) const { return static_cast<const float*>(Find(name).data); }
  // The matrix `prefix`.weight with `prefix`.bias.
  MatrixView Matrix(const std::string& prefix) const;

 private:
  std::map<std::string, const LimbeckTensor*> by_name_;
};

}  // namespace limbeck

#endif  // LIMBECK_MODEL_WEIGHTS_H_
