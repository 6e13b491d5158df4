#include "fuzz/candidate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>

namespace limbeck::fuzz {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kDenormal = std::numeric_limits<float>::denorm_min();
constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
constexpr int32_t kMost = std::numeric_limits<int32_t>::max();

enum class TensorKind { kLinear, kEmbedding, kFloat };
enum class TensorWhen { kAlways, kTypes, kHead, kDenseHead, kStatic };

struct Row {
  std::string name;
  int32_t rank;
  int64_t shape[2];
  TensorKind kind;
  TensorWhen when;
};

std::vector<Row> Table(const LimbeckModelSpec& spec) {
  const int64_t hidden = spec.hidden;
  const int64_t ffn = spec.ffn;
  const int64_t vocab = spec.vocab;
  const int64_t positions = spec.positions;
  const int64_t types = spec.types;
  const int64_t labels = spec.labels;
  const int64_t ends = 2;
  return {
#define LIMBECK_TENSOR(name, rank, first, second, kind, when) {name, rank, {first, second}, kind, when},
#include "model/tensor_table.inc"
#undef LIMBECK_TENSOR
  };
}

bool Present(const LimbeckModelSpec& spec, TensorWhen when) {
  const bool head = spec.head_kind != LIMBECK_HEAD_NONE;
  if (when == TensorWhen::kTypes) return spec.types > 0;
  if (when == TensorWhen::kHead) return head;
  if (when == TensorWhen::kDenseHead) return head && spec.head_dense >= 0;
  if (when == TensorWhen::kStatic) return spec.activations == LIMBECK_STATIC;
  return true;
}

int64_t Count(const NamedTensor& tensor) { return tensor.shape[0] * (tensor.rank == 2 ? tensor.shape[1] : 1); }

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Values as in tests/models.py: every bias, gain and row counts.
void FillF32(NamedTensor& tensor, std::mt19937& random) {
  const bool gain = EndsWith(tensor.name, ".gain");
  std::uniform_real_distribution<float> draw(gain ? 0.5f : -0.5f, gain ? 1.5f : 0.5f);
  tensor.dtype = LIMBECK_F32;
  tensor.s8.clear();
  tensor.scale.clear();
  tensor.f32.assign(static_cast<size_t>(Count(tensor)), 0.0f);
  for (float& value : tensor.f32) value = draw(random);
  if (EndsWith(tensor.name, ".range")) tensor.f32 = {tensor.f32[0] - 0.6f, tensor.f32[1] + 0.6f};
}

void FillS8(NamedTensor& tensor, std::mt19937& random) {
  std::uniform_int_distribution<int> draw(-127, 127);
  std::uniform_real_distribution<float> scale(0.002f, 0.006f);
  tensor.dtype = LIMBECK_S8;
  tensor.f32.clear();
  tensor.s8.assign(static_cast<size_t>(Count(tensor)), 0);
  tensor.scale.assign(static_cast<size_t>(tensor.shape[0]), 0.0f);
  for (int8_t& value : tensor.s8) value = static_cast<int8_t>(draw(random));
  for (float& value : tensor.scale) value = scale(random);
}

// Zeroes blocks of `height` x 4 weights, all but about `kept` in four: what the engine may take for block-sparse.
void ZeroBlocks(NamedTensor& tensor, int64_t height, uint32_t kept, std::mt19937& random) {
  const int64_t cols = tensor.shape[1];
  for (int64_t row = 0; row < tensor.shape[0]; row += height) {
    for (int64_t col = 0; col < cols; col += 4) {
      if ((random() >> 16) % 4 < kept) continue;
      for (int64_t r = row; r < std::min(row + height, tensor.shape[0]); ++r) {
        for (int64_t c = col; c < std::min(col + 4, cols); ++c) {
          const size_t at = static_cast<size_t>(r * cols + c);
          if (tensor.dtype == LIMBECK_S8) {
            tensor.s8[at] = 0;
          } else {
            tensor.f32[at] = 0.0f;
          }
        }
      }
    }
  }
}

LimbeckModelSpec DecodeSpec(Bytes& bytes) {
  const float epsilons[] = {1e-12f, 1e-5f, 1e-2f};
  LimbeckModelSpec spec = {};
  spec.abi_version = LIMBECK_ABI_VERSION;
  spec.precision = bytes.Below(2) == 0 ? LIMBECK_INT8 : LIMBECK_FP32;
  spec.layers = bytes.In(1, 2);
  spec.heads = bytes.In(1, 4);
  spec.hidden = spec.heads * bytes.In(1, 7);
  spec.ffn = bytes.In(1, 37);
  spec.vocab = bytes.In(1, 20);
  spec.positions = bytes.In(1, 70);
  spec.types = bytes.Below(3);
  spec.activation = bytes.Below(5);
  spec.position_mode = bytes.Below(2);
  spec.pad_id = bytes.Below(spec.vocab);
  spec.head_kind = bytes.Below(3);
  spec.head_dense = bytes.In(-1, 4);
  spec.labels = spec.head_kind == LIMBECK_HEAD_NONE ? 0 : bytes.In(1, 17);
  spec.norm_eps = bytes.Pick(epsilons);
  return spec;
}

void ChangeCosts(Bytes& bytes, LimbeckModelSpec& spec) {
  const float costs[] = {1.0f, 1e-6f, 1e9f, 0.5f};
  for (float& cost : spec.sparse_costs) cost = bytes.Pick(costs);
}

// --- faults; each returns what the engine then owes, and may clear `moderate` ---------------------------------------

void Mark(ModelCandidate& model, Owed owed, const std::string& fault) {
  model.owed = owed;
  model.fault = fault;
}

void FaultInValue(Bytes& bytes, ModelCandidate& model) {
  NamedTensor& tensor = model.tensors[static_cast<size_t>(bytes.Byte()) % model.tensors.size()];
  const bool everywhere = bytes.OneIn(3);
  if (tensor.dtype == LIMBECK_S8) {
    const int8_t values[] = {-128, 127, 0, -127};  // -128 is no value of ours, but no index either: it must compute
    const int8_t value = bytes.Pick(values);
    if (everywhere) std::fill(tensor.s8.begin(), tensor.s8.end(), value);
    tensor.s8[bytes.Word() % tensor.s8.size()] = value;
    return Mark(model, Owed::kAnswer, "s8 value in " + tensor.name);
  }
  const float values[] = {0.0f, -0.0f,     kDenormal,  -kDenormal, kLargest, -kLargest, 1e30f,
                          kNan, kInfinity, -kInfinity, 1e-38f,     1e19f,    -1e19f};
  const float value = bytes.Pick(values);
  if (everywhere) std::fill(tensor.f32.begin(), tensor.f32.end(), value);
  tensor.f32[bytes.Word() % tensor.f32.size()] = value;
  model.moderate = std::fabs(value) < 1.0f;
  Mark(model, std::isfinite(value) ? Owed::kAnswer : Owed::kRefusal, "f32 value in " + tensor.name);
}

void FaultInScale(Bytes& bytes, ModelCandidate& model) {
  std::vector<NamedTensor*> scaled;
  for (NamedTensor& tensor : model.tensors) {
    if (tensor.dtype == LIMBECK_S8) scaled.push_back(&tensor);
  }
  if (scaled.empty()) return;
  NamedTensor& tensor = *scaled[static_cast<size_t>(bytes.Byte()) % scaled.size()];
  const float values[] = {0.0f, -0.0f, kNan, kInfinity, -1.0f, -kDenormal, kDenormal, kLargest, 1e-38f};
  const float value = bytes.Pick(values);
  tensor.scale[bytes.Word() % tensor.scale.size()] = value;
  model.moderate = value < 1.0f;
  Mark(model, value > 0 && std::isfinite(value) ? Owed::kAnswer : Owed::kRefusal, "scale of " + tensor.name);
}

void FaultInNames(Bytes& bytes, ModelCandidate& model) {
  const size_t at = static_cast<size_t>(bytes.Byte()) % model.tensors.size();
  switch (bytes.Below(6)) {
    case 0:
      model.tensors.erase(model.tensors.begin() + static_cast<std::ptrdiff_t>(at));
      model.tensor_count -= 1;
      break;
    case 1: {
      const NamedTensor copy = model.tensors[at];
      model.tensors.push_back(copy);
      model.tensor_count += 1;
      break;
    }
    case 2:
      model.tensors[at].name += bytes.OneIn(2) ? "." : std::string(2000, 'x');
      break;
    case 3:
      model.tensors[at].name.clear();
      break;
    case 4:
      model.tensors[at].no_name = true;
      break;
    default:
      model.tensor_count = bytes.OneIn(2) ? -1 : static_cast<int32_t>(at);
  }
  Mark(model, Owed::kRefusal, "names");
}

void FaultInForm(Bytes& bytes, ModelCandidate& model, std::mt19937& random) {
  NamedTensor& tensor = model.tensors[static_cast<size_t>(bytes.Byte()) % model.tensors.size()];
  const int64_t sizes[] = {0, -1, kMost, int64_t{1} << 62, std::numeric_limits<int64_t>::min()};
  Owed owed = Owed::kRefusal;
  switch (bytes.Below(6)) {
    case 0: {
      int64_t& size = tensor.shape[bytes.Below(tensor.rank)];
      size = bytes.OneIn(2) ? size + 1 : bytes.Pick(sizes);
      break;
    }
    case 1: {
      const int32_t ranks[] = {0, -1, 3, kMost, kLeast};
      tensor.rank = bytes.OneIn(2) ? 3 - tensor.rank : bytes.Pick(ranks);
      break;
    }
    case 2: {
      const int32_t dtypes[] = {2, -1, kMost, kLeast};
      tensor.dtype = bytes.Pick(dtypes);
      break;
    }
    case 3:
      tensor.no_data = true;
      break;
    case 4:
      if (tensor.dtype != LIMBECK_S8) return;
      tensor.no_scale = true;
      break;
    default:
      // The word table alone may be in either format.
      if (tensor.name == "embeddings.word") owed = Owed::kAnswer;
      if (tensor.rank == 1) return;
      tensor.dtype == LIMBECK_S8 ? FillF32(tensor, random) : FillS8(tensor, random);
  }
  Mark(model, owed, "form of " + tensor.name);
}

void FaultInSpec(Bytes& bytes, ModelCandidate& model) {
  LimbeckModelSpec& spec = model.spec;
  int32_t* fields[] = {&spec.precision, &spec.layers,    &spec.hidden,     &spec.heads,         &spec.ffn,
                       &spec.vocab,     &spec.positions, &spec.types,      &spec.activation,    &spec.labels,
                       &spec.pad_id,    &spec.head_kind, &spec.head_dense, &spec.position_mode, &spec.abi_version};
  const int32_t values[] = {0, -1, -2, 2, 3, 6, 1 << 24, (1 << 24) - 1, kMost, kLeast, 65536};
  const int which = bytes.Below(static_cast<int>(std::size(fields)) + 1);
  if (which < static_cast<int>(std::size(fields))) {
    *fields[which] = bytes.OneIn(2) ? *fields[which] + 1 : bytes.Pick(values);
    return Mark(model, Owed::kEither, "spec field " + std::to_string(which));
  }
  if (bytes.OneIn(2)) {
    const float costs[] = {0.0f, -1.0f, kNan, kInfinity, -kInfinity, kDenormal, kLargest};
    const float cost = bytes.Pick(costs);
    ChangeCosts(bytes, spec);
    spec.sparse_costs[bytes.Below(6)] = cost;
    return Mark(model, Owed::kEither, "sparse_costs");
  }
  const float epsilons[] = {0.0f, -1e-5f, kNan, kInfinity, -kInfinity, kDenormal, kLargest};
  spec.norm_eps = bytes.Pick(epsilons);
  const bool sound = spec.norm_eps > 0 && std::isfinite(spec.norm_eps);
  Mark(model, sound ? Owed::kAnswer : Owed::kRefusal, "norm_eps");
}

void FaultInOptions(Bytes& bytes, ModelCandidate& model) {
  const int32_t threads[] = {0, -1, 1025, kMost, kLeast};
  const char* const isas[] = {"sse17", "AVX2", "reference,", " "};
  if (bytes.OneIn(2)) {
    model.threads = bytes.Pick(threads);
  } else {
    model.isa = bytes.Pick(isas);
  }
  Mark(model, Owed::kRefusal, "options");
}

int32_t PickLength(Bytes& bytes, int64_t longest) {
  const int32_t lengths[] = {1, 1, 2, 3, 4, 5, 7, 9, 15, 16, 17, 31, 33, 70};
  return static_cast<int32_t>(std::clamp<int64_t>(bytes.Pick(lengths), 1, longest));
}

// Lengths of one to `longest` tokens, up to the last number: the only ones that a batch may have.
bool SoundLengths(const BatchCandidate& batch, int64_t longest) {
  if (batch.cu_seqlens[0] != 0) return false;
  for (size_t b = 0; b + 1 < batch.cu_seqlens.size(); ++b) {
    const int64_t length = int64_t{batch.cu_seqlens[b + 1]} - batch.cu_seqlens[b];
    if (length < 1 || length > longest) return false;
  }
  return true;
}

void FaultInBatch(Bytes& bytes, const LimbeckModelSpec& spec, BatchCandidate& batch) {
  const int64_t longest = LongestSequence(spec);
  const int32_t numbers[] = {0, -1, 1, 2, kMost, kLeast, kMost - 1};
  switch (bytes.Below(6)) {
    case 0: {
      if (batch.ids.empty()) return;
      const int32_t ids[] = {spec.vocab, -1, kMost, kLeast};
      batch.ids[bytes.Word() % batch.ids.size()] = bytes.Pick(ids);
      batch.owed = Owed::kRefusal;
      batch.fault = "id";
      return;
    }
    case 1: {
      if (!batch.has_types || batch.ids.empty()) return;
      const int32_t types[] = {std::max(spec.types, 1), -1, kMost, kLeast};
      batch.type_ids[bytes.Word() % batch.type_ids.size()] = bytes.Pick(types);
      batch.owed = Owed::kRefusal;
      batch.fault = "type";
      return;
    }
    case 2: {
      if (batch.sequences == 0) return;
      int32_t& number = batch.cu_seqlens[static_cast<size_t>(bytes.Byte()) % batch.cu_seqlens.size()];
      number = bytes.OneIn(2) ? number - bytes.In(-3, 70) : bytes.Pick(numbers);
      batch.fault = "cu_seqlens";
      if (!SoundLengths(batch, longest)) {
        batch.owed = Owed::kRefusal;
        return;
      }
      // By chance a sound batch of another size: as many ids as it now needs.
      batch.ids.assign(static_cast<size_t>(batch.cu_seqlens.back()), 0);
      if (batch.has_types) batch.type_ids.assign(batch.ids.size(), 0);
      batch.out_size = AnswerSize(spec, batch.output, batch.cu_seqlens.back(), batch.sequences);
      return;
    }
    case 3: {
      const int64_t by[] = {1, -1, 16, std::numeric_limits<int32_t>::max()};
      batch.out_size += bytes.Pick(by);
      batch.fault = "out_size";
      batch.owed = Owed::kRefusal;
      return;
    }
    case 4: {
      const int32_t outputs[] = {5, -1, kMost, kLeast};
      batch.output = bytes.Pick(outputs);
      batch.fault = "output";
      batch.owed = Owed::kRefusal;
      return;
    }
    default:
      batch.sequences = bytes.OneIn(2) ? kLeast : -1;
      batch.fault = "sequences";
      batch.owed = Owed::kRefusal;
  }
}

}  // namespace

LimbeckTensor NamedTensor::View() const {
  LimbeckTensor view = {};
  view.name = no_name ? nullptr : name.c_str();
  view.dtype = dtype;
  view.rank = rank;
  view.shape[0] = shape[0];
  view.shape[1] = shape[1];
  view.data = s8.empty() ? static_cast<const void*>(f32.data()) : s8.data();
  if (no_data) view.data = nullptr;
  view.scale = scale.empty() || no_scale ? nullptr : scale.data();
  return view;
}

std::vector<std::string> Isas() {
  char names[128];
  limbeck_isas(names, sizeof(names));
  std::vector<std::string> found;
  std::istringstream text(names);
  for (std::string name; std::getline(text, name, ',');) found.push_back(name);
  return found;
}

int64_t LongestSequence(const LimbeckModelSpec& spec) {
  const int64_t positions = spec.positions;
  return spec.position_mode == LIMBECK_AFTER_PADDING ? positions - spec.pad_id - 1 : positions;
}

int64_t AnswerSize(const LimbeckModelSpec& spec, int32_t output, int64_t tokens, int64_t sequences) {
  switch (output) {
    case LIMBECK_LOGITS:
      if (spec.head_kind == LIMBECK_HEAD_NONE) return -1;
      return (spec.head_kind == LIMBECK_HEAD_TOKEN ? tokens : sequences) * spec.labels;
    case LIMBECK_HIDDEN:
      return tokens * spec.hidden;
    case LIMBECK_POOLED_MEAN:
    case LIMBECK_POOLED_CLS:
    case LIMBECK_POOLED_MAX:
      return sequences * spec.hidden;
    default:
      return -1;
  }
}

ModelCandidate DecodeModel(Bytes& bytes) {
  ModelCandidate model;
  const std::vector<std::string> isas = Isas();
  model.isa = isas[static_cast<size_t>(bytes.Byte()) % isas.size()];
  model.threads = bytes.In(1, 3);
  const int fault = bytes.Below(16);
  model.spec = DecodeSpec(bytes);
  if (model.spec.precision == LIMBECK_FP32 && limbeck_has_bf16(model.isa.c_str()) != 0 && bytes.OneIn(2)) {
    model.spec.precision = LIMBECK_BF16;
  }
  std::mt19937 random(bytes.Word());
  const int heights[] = {0, 0, 1, 2, 4, 8};
  const int height = bytes.Pick(heights);
  const uint32_t kept = static_cast<uint32_t>(bytes.Below(3));
  if (model.spec.precision == LIMBECK_INT8) model.spec.activations = bytes.Below(2);
  for (const Row& row : Table(model.spec)) {
    if (!Present(model.spec, row.when)) continue;
    const size_t mark = row.name.find("{i}");
    for (int i = 0; i < (mark == std::string::npos ? 1 : model.spec.layers); ++i) {
      NamedTensor tensor;
      tensor.name = row.name;
      if (mark != std::string::npos) tensor.name.replace(mark, 3, std::to_string(i));
      tensor.rank = row.rank;
      tensor.shape[0] = row.shape[0];
      tensor.shape[1] = row.rank == 2 ? row.shape[1] : 1;
      const bool s8 = row.kind != TensorKind::kFloat && model.spec.precision == LIMBECK_INT8;
      s8 ? FillS8(tensor, random) : FillF32(tensor, random);
      if (row.kind == TensorKind::kLinear && height > 0) ZeroBlocks(tensor, height, kept, random);
      model.tensors.push_back(tensor);
    }
  }
  model.tensor_count = static_cast<int32_t>(model.tensors.size());
  // One fault at the most: two could agree with each other on a size that the data does not have, which is the
  // caller's lie and nothing that the engine could see.
  if (fault == 9 || fault == 10) FaultInValue(bytes, model);
  if (fault == 11) FaultInScale(bytes, model);
  if (fault == 12) FaultInNames(bytes, model);
  if (fault == 13) FaultInForm(bytes, model, random);
  if (fault == 14) FaultInSpec(bytes, model);
  if (fault == 15) FaultInOptions(bytes, model);
  // A range with other ends may still be one.
  if (model.owed == Owed::kAnswer && model.fault.find(".range") != std::string::npos) model.owed = Owed::kEither;
  // A weight may be finite and yet too large for bf16.
  if (model.spec.precision == LIMBECK_BF16 && !model.moderate && model.owed == Owed::kAnswer)
    model.owed = Owed::kEither;
  model.other_costs = model.spec;
  if (model.owed == Owed::kAnswer) ChangeCosts(bytes, model.other_costs);
  return model;
}

BatchCandidate DecodeBatch(Bytes& bytes, const LimbeckModelSpec& spec) {
  BatchCandidate batch;
  const int64_t longest = LongestSequence(spec);
  const int fault = bytes.Below(4);
  batch.output = bytes.Below(5);
  int32_t sequences = bytes.OneIn(8) ? bytes.In(0, 40) : bytes.In(1, 4);
  if (longest < 1) sequences = 0;
  std::mt19937 random(bytes.Word());
  std::uniform_int_distribution<int32_t> id(0, spec.vocab - 1);
  std::uniform_int_distribution<int32_t> type(0, std::max(spec.types, 1) - 1);
  batch.has_types = bytes.OneIn(2);
  for (int32_t b = 0; b < sequences; ++b) {
    const int32_t length = sequences > 4 ? 1 : PickLength(bytes, longest);
    batch.cu_seqlens.push_back(batch.cu_seqlens.back() + length);
  }
  batch.sequences = sequences;
  for (int32_t t = 0; t < batch.cu_seqlens.back(); ++t) {
    batch.ids.push_back(id(random));
    if (batch.has_types) batch.type_ids.push_back(type(random));
  }
  batch.ids.shrink_to_fit();
  batch.type_ids.shrink_to_fit();
  batch.out_size = AnswerSize(spec, batch.output, batch.cu_seqlens.back(), sequences);
  if (batch.out_size < 0) {
    batch.owed = Owed::kRefusal;
    batch.out_size = 0;
    batch.fault = "no such output";
  } else if (fault == 3) {
    FaultInBatch(bytes, spec, batch);
  }
  return batch;
}

}  // namespace limbeck::fuzz
