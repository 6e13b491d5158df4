#include "model/weights.h"

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace limbeck {
namespace {

enum class TensorKind { kLinear, kEmbedding, kFloat };
enum class TensorWhen { kAlways, kTypes, kHead, kDenseHead, kStatic };

struct TensorRow {
  std::string name;  // "{i}" stands for a layer number
  int rank;
  int64_t shape[2];
  TensorKind kind;
  TensorWhen when;
};

std::vector<TensorRow> Table(const LimbeckModelSpec& spec) {
  const int64_t hidden = spec.hidden;
  const int64_t ffn = spec.ffn;
  const int64_t vocab = spec.vocab;
  const int64_t positions = spec.positions;
  const int64_t types = spec.types;
  const int64_t labels = spec.labels;
  const int64_t ends = 2;  // of a range: low and high
  return {
#define LIMBECK_TENSOR(name, rank, first, second, kind, when) {name, rank, {first, second}, kind, when},
#include "model/tensor_table.inc"
#undef LIMBECK_TENSOR
  };
}

bool Required(const LimbeckModelSpec& spec, TensorWhen when) {
  switch (when) {
    case TensorWhen::kAlways:
      return true;
    case TensorWhen::kTypes:
      return spec.types > 0;
    case TensorWhen::kHead:
      return spec.head_kind != LIMBECK_HEAD_NONE;
    case TensorWhen::kDenseHead:
      return spec.head_kind != LIMBECK_HEAD_NONE && spec.head_dense >= 0;
    case TensorWhen::kStatic:
      return spec.activations == LIMBECK_STATIC;
  }
  return false;
}

std::string ShapeText(const int64_t* shape, int rank) {
  std::string text = "[" + std::to_string(shape[0]);
  if (rank == 2) text += ", " + std::to_string(shape[1]);
  return text + "]";
}

void Check(const LimbeckModelSpec& spec, const TensorRow& row, const LimbeckTensor& tensor) {
  const std::string name = tensor.name;
  if (tensor.data == nullptr) throw Error("tensor " + name + " has no data");
  if (tensor.rank != row.rank || tensor.shape[0] != row.shape[0] ||
      (row.rank == 2 && tensor.shape[1] != row.shape[1])) {
    throw Error("tensor " + name + " has shape " + ShapeText(tensor.shape, tensor.rank) + ", expected " +
                ShapeText(row.shape, row.rank));
  }
  const bool s8 = tensor.dtype == LIMBECK_S8;
  if (!s8 && tensor.dtype != LIMBECK_F32) throw Error("tensor " + name + " has an unknown number format");
  const bool int8_model = spec.precision == LIMBECK_INT8;
  if (row.kind == TensorKind::kFloat && s8) throw Error("tensor " + name + " must be float32");
  if (row.kind == TensorKind::kLinear && s8 != int8_model) {
    throw Error("tensor " + name + " must be " +
                (int8_model ? "int8 in an int8 model" : "float32 in an fp32 or bf16 model"));
  }
  if (s8) {
    if (tensor.scale == nullptr) throw Error("int8 tensor " + name + " has no scales");
    for (int64_t r = 0; r < tensor.shape[0]; ++r) {
      if (!std::isfinite(tensor.scale[r]) || tensor.scale[r] <= 0) {
        throw Error("tensor " + name + " has a scale that is not a positive finite number in row " + std::to_string(r));
      }
    }
    return;
  }
  // A NaN or an infinity would answer silently wrong; one pass over the floats is cheap beside packing them.
  const float* values = static_cast<const float*>(tensor.data);
  const int64_t count = tensor.rank == 2 ? tensor.shape[0] * tensor.shape[1] : tensor.shape[0];
  float zero = 0.0f;
  for (int64_t i = 0; i < count; ++i) zero += values[i] * 0.0f;
  if (zero != 0.0f) throw Error("tensor " + name + " holds a value that is not finite");
}

}  // namespace

Weights::Weights(const LimbeckModelSpec& spec, const LimbeckTensor* tensors, int32_t count) {
  for (int32_t i = 0; i < count; ++i) {
    if (!by_name_.emplace(tensors[i].name, &tensors[i]).second) {
      throw Error(std::string("tensor ") + tensors[i].name + " is given twice");
    }
  }
  std::set<std::string> expected;
  for (const TensorRow& row : Table(spec)) {
    if (!Required(spec, row.when)) continue;
    const size_t mark = row.name.find("{i}");
    const int copies = mark == std::string::npos ? 1 : spec.layers;
    for (int layer = 0; layer < copies; ++layer) {
      std::string name = row.name;
      if (mark != std::string::npos) name.replace(mark, 3, std::to_string(layer));
      const auto found = by_name_.find(name);
      if (found == by_name_.end()) throw Error("tensor " + name + " is missing");
      Check(spec, row, *found->second);
      expected.insert(name);
    }
  }
  for (const auto& entry : by_name_) {
    if (expected.count(entry.first) == 0) throw Error("tensor " + entry.first + " does not belong to this model");
  }
}

MatrixView Weights::Matrix(const std::string& prefix) const {
  const LimbeckTensor& tensor = Find(prefix + ".weight");
  MatrixView view;
  view.rows = tensor.shape[0];
  view.cols = tensor.shape[1];
  if (tensor.dtype == LIMBECK_S8) {
    view.s8 = static_cast<const int8_t*>(tensor.data);
    view.scale = tensor.scale;
  } else {
    view.f32 = static_cast<const float*>(tensor.data);
  }
  view.bias = Floats(prefix + ".bias");
  return view;
}

}  // namespace limbeck
