#include "model/model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/math_scalar.h"
#include "model/forward.h"

namespace limbeck {
namespace {

std::string LayerName(int64_t layer) { return "layers." + std::to_string(layer) + "."; }

std::vector<MatrixView> QkvMatrices(const Weights& weights, int64_t layer) {
  const std::string prefix = LayerName(layer) + "attention.";
  return {weights.Matrix(prefix + "query"), weights.Matrix(prefix + "key"), weights.Matrix(prefix + "value")};
}

void CheckSpec(const LimbeckModelSpec& spec) {
  constexpr int32_t kLargest = 1 << 24;  // sizes stay far from where products of two would overflow int64
  const int32_t sizes[] = {spec.layers, spec.hidden, spec.heads, spec.ffn, spec.vocab, spec.positions};
  for (int32_t size : sizes) {
    if (size < 1 || size >= kLargest) throw Error("the model's spec holds a size outside 1 .. 2^24 - 1");
  }
  if (spec.types < 0 || spec.types >= kLargest) throw Error("the number of token types is outside 0 .. 2^24 - 1");
  if (spec.labels < 0 || spec.labels >= kLargest) throw Error("the number of labels is outside 0 .. 2^24 - 1");
  if (spec.hidden % spec.heads != 0) throw Error("the hidden size does not divide into the attention heads");
  if (spec.precision < LIMBECK_FP32 || spec.precision > LIMBECK_BF16) throw Error("unknown precision");
  if (spec.activations != LIMBECK_DYNAMIC && (spec.activations != LIMBECK_STATIC || spec.precision != LIMBECK_INT8)) {
    throw Error("static ranges of activations are for int8 models");
  }
  if (spec.activation < LIMBECK_GELU || spec.activation > LIMBECK_IDENTITY) throw Error("unknown activation");
  if (spec.position_mode != LIMBECK_ABSOLUTE && spec.position_mode != LIMBECK_AFTER_PADDING) {
    throw Error("unknown position mode");
  }
  if (spec.head_kind < LIMBECK_HEAD_NONE || spec.head_kind > LIMBECK_HEAD_TOKEN) throw Error("unknown head");
  for (float cost : spec.sparse_costs) {
    if (!(cost >= 0)) throw Error("a cost of the sparse kernels is negative or not a number");
  }
  if (spec.head_kind != LIMBECK_HEAD_NONE && spec.labels < 1) throw Error("a head needs at least one label");
  if (spec.head_dense > LIMBECK_IDENTITY) throw Error("unknown activation of the head");
  // Positions are counted from it: outside the vocabulary they would leave their table.
  if (spec.pad_id < 0 || spec.pad_id >= spec.vocab) throw Error("the padding id is outside the vocabulary");
  if (!std::isfinite(spec.norm_eps) || spec.norm_eps <= 0) throw Error("norm_eps must be a positive finite number");
}

const char* PrecisionName(int32_t precision) {
  return precision == LIMBECK_INT8 ? "int8" : precision == LIMBECK_BF16 ? "bf16" : "fp32";
}

SparseCosts Costs(const LimbeckModelSpec& spec, Isa isa) {
  const float* given = spec.sparse_costs;
  if (std::all_of(given, given + 2 + kHeights, [](float cost) { return cost == 0.0f; })) {
    return SparseCosts::Default(WantsPairs(isa));
  }
  SparseCosts costs;
  costs.dense = given[0];
  std::copy_n(given + 1, kHeights, costs.blocks);
  costs.row_of_blocks = given[1 + kHeights];
  return costs;
}

// One linear layer before it is packed: its matrices and the plan for them.
struct Planned {
  // Once: what the plan remembers of pairs is released, so that it and all packed weights are never there together.
  Linear Pack(Slab& slab) {
    Linear linear = Linear::Pack(stacked, plan, slab);
    plan.pairs.reset();
    return linear;
  }

  std::vector<MatrixView> stacked;
  Arithmetic arithmetic;
  bool staged = false;
  Linear::Plan plan = {};
};

// Every linear layer, in the order of the model.
std::vector<Planned> AllLinears(const LimbeckModelSpec& spec, const Weights& weights) {
  std::vector<Planned> linears;
  const Arithmetic arithmetic = ArithmeticOf(spec.precision);
  for (int64_t i = 0; i < spec.layers; ++i) {
    const std::string name = LayerName(i);
    linears.push_back({QkvMatrices(weights, i), arithmetic});
    linears.push_back({{weights.Matrix(name + "attention.output")}, arithmetic});
    linears.push_back({{weights.Matrix(name + "ffn.in")}, arithmetic, true});
    linears.push_back({{weights.Matrix(name + "ffn.out")}, arithmetic});
  }
  if (spec.head_kind != LIMBECK_HEAD_NONE) {
    if (spec.head_dense >= 0) linears.push_back({{weights.Matrix("head.dense")}, Arithmetic::kF32});
    linears.push_back({{weights.Matrix("head.classifier")}, Arithmetic::kF32});
  }
  return linears;
}

// Plans for them, by all threads of the pool: to find pairs of blocks takes as long as reading the weights. Throws what
// the first layer that has no plan throws.
void PlanLinears(std::vector<Planned>& linears, const SparseCosts& costs, Isa isa, Pool& pool) {
  std::vector<std::exception_ptr> errors(linears.size());
  std::atomic<size_t> next{0};
  pool.Run([&](int) {
    for (size_t i = next++; i < linears.size(); i = next++) {
      Planned& linear = linears[i];
      try {
        linear.plan = Linear::MakePlan(linear.stacked, linear.arithmetic, costs, isa, linear.staged);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& error : errors) {
    if (error != nullptr) std::rethrow_exception(error);
  }
}

// Slab bytes for the linear layers and everything that CopyNorm and CopyFloats take.
size_t SlabBytes(const LimbeckModelSpec& spec, const Weights& weights, const std::vector<Planned>& linears) {
  const size_t vector = Slab::Need<float>(spec.hidden);
  size_t bytes = 2 * vector;  // the norm of the embeddings
  bytes += Slab::Need<float>(int64_t{spec.positions} * spec.hidden);
  if (spec.types > 0) bytes += Slab::Need<float>(int64_t{spec.types} * spec.hidden);
  if (weights.Find("embeddings.word").dtype == LIMBECK_S8) bytes += Slab::Need<float>(spec.vocab);
  bytes += 4 * vector * static_cast<size_t>(spec.layers);
  bytes += 8 * Slab::Need<float>(kLanes) * static_cast<size_t>(spec.layers);  // ranges
  for (const Planned& linear : linears) bytes += linear.plan.bytes;
  return bytes;
}

const LimbeckModelSpec& Checked(const LimbeckModelSpec& spec) {
  CheckSpec(spec);
  return spec;
}

}  // namespace

Model::Model(const LimbeckModelSpec& spec, const LimbeckTensor* tensors, int32_t count, Isa isa, int threads,
             int instances)
    : spec_(Checked(spec)), isa_(isa), kernels_(ChooseKernels(isa)) {
  for (int i = 0; i < instances; ++i) instances_.push_back(std::make_unique<Instance>(threads));
  if (spec_.precision == LIMBECK_BF16 && kernels_.gemm_bf16.isa == Isa::kReference) {
    throw Error("bf16 needs AVX512-BF16 beside AVX-512 VNNI");
  }
  const Weights weights(spec_, tensors, count);
  std::vector<Planned> linears = AllLinears(spec_, weights);
  PlanLinears(linears, Costs(spec_, isa), isa, instances_.front()->pool);
  auto linear = linears.begin();
  slab_ = Slab(SlabBytes(spec_, weights, linears));

  const LimbeckTensor& word = weights.Find("embeddings.word");
  if (word.dtype == LIMBECK_S8) {
    embeddings_.word_s8 = static_cast<const int8_t*>(word.data);
    float* scale = slab_.Take<float>(spec_.vocab);
    std::memcpy(scale, word.scale, sizeof(float) * static_cast<size_t>(spec_.vocab));
    embeddings_.word_scale = scale;
  } else {
    embeddings_.word_f32 = static_cast<const float*>(word.data);
  }
  embeddings_.position = CopyFloats(weights, "embeddings.position");
  if (spec_.types > 0) embeddings_.type = CopyFloats(weights, "embeddings.type");
  embeddings_.norm = CopyNorm(weights, "embeddings.norm");
  for (int64_t i = 0; i < spec_.layers; ++i) {
    const std::string name = LayerName(i);
    Layer layer;
    layer.qkv = (linear++)->Pack(slab_);
    layer.output = (linear++)->Pack(slab_);
    layer.ffn_in = (linear++)->Pack(slab_);
    layer.ffn_out = (linear++)->Pack(slab_);
    layer.attention_norm = CopyNorm(weights, name + "attention.norm");
    layer.ffn_norm = CopyNorm(weights, name + "ffn.norm");
    if (spec_.activations == LIMBECK_STATIC) {
      layer.qkv_range = TakeRange(weights, name + "attention.range");
      layer.output_range = TakeRange(weights, name + "attention.output.range");
      layer.ffn_in_range = TakeRange(weights, name + "ffn.in.range");
      layer.ffn_out_range = TakeRange(weights, name + "ffn.out.range");
    }
    layers_.push_back(layer);
  }
  if (spec_.head_kind != LIMBECK_HEAD_NONE) {
    if (spec_.head_dense >= 0) head_dense_ = (linear++)->Pack(slab_);
    classifier_ = (linear++)->Pack(slab_);
  }
}

const float* Model::CopyFloats(const Weights& weights, const std::string& name) {
  const LimbeckTensor& tensor = weights.Find(name);
  const int64_t count = tensor.rank == 2 ? tensor.shape[0] * tensor.shape[1] : tensor.shape[0];
  float* copy = slab_.Take<float>(count);
  std::memcpy(copy, tensor.data, sizeof(float) * static_cast<size_t>(count));
  return copy;
}

// The quantiser's own arithmetic (kernels/quantize_f32_u8), once for all tokens.
StaticRange Model::TakeRange(const Weights& weights, const std::string& name) {
  const float* ends = weights.Floats(name);
  const float spread = ends[1] - ends[0];
  if (!(ends[0] <= 0.0f && ends[1] >= 0.0f && spread > kFlatRange && std::isfinite(spread))) {
    throw Error("tensor " + name + " is no range: it must hold a low end up to 0 and a high end from 0 on, apart");
  }
  StaticRange range;
  float* low = slab_.Take<float>(kLanes);
  float* high = slab_.Take<float>(kLanes);
  std::fill_n(low, kLanes, ends[0]);
  std::fill_n(high, kLanes, ends[1]);
  range.low = low;
  range.high = high;
  range.inverse = 255.0f / spread;
  range.scale = spread * (1.0f / 255.0f);
  range.zero = std::clamp(ScalarToInt((0.0f - ends[0]) * range.inverse), 0, 255);
  return range;
}

Norm Model::CopyNorm(const Weights& weights, const std::string& prefix) {
  return {CopyFloats(weights, prefix + ".gain"), CopyFloats(weights, prefix + ".bias")};
}

int64_t Model::OutputSize(int32_t output, int64_t tokens, int64_t sequences) const {
  switch (output) {
    case LIMBECK_LOGITS:
      if (spec_.head_kind == LIMBECK_HEAD_NONE) throw Error("this model has no head, so it gives no logits");
      return (spec_.head_kind == LIMBECK_HEAD_TOKEN ? tokens : sequences) * spec_.labels;
    case LIMBECK_HIDDEN:
      return tokens * spec_.hidden;
    case LIMBECK_POOLED_MEAN:
    case LIMBECK_POOLED_CLS:
    case LIMBECK_POOLED_MAX:
      return sequences * spec_.hidden;
    default:
      throw Error("unknown output");
  }
}

void Model::CheckBatch(const int32_t* ids, const int32_t* type_ids, const int32_t* cu_seqlens,
                       int32_t sequences) const {
  const int32_t longest =
      spec_.position_mode == LIMBECK_AFTER_PADDING ? spec_.positions - spec_.pad_id - 1 : spec_.positions;
  if (cu_seqlens[0] != 0) throw Error("cu_seqlens must start with 0");
  for (int32_t b = 0; b < sequences; ++b) {
    const int64_t length = int64_t{cu_seqlens[b + 1]} - cu_seqlens[b];
    if (length < 1) throw Error("sequence " + std::to_string(b) + " has no tokens");
    if (length > longest) {
      throw Error("sequence " + std::to_string(b) + " has " + std::to_string(length) +
                  " tokens; the model's positions end at " + std::to_string(longest));
    }
  }
#ifdef LIMBECK_PLANT_BUG
  const int32_t vocab_end = spec_.vocab + 1;  // one id too many: make fuzz-planted must find it
#else
  const int32_t vocab_end = spec_.vocab;
#endif
  for (int32_t t = 0; t < cu_seqlens[sequences]; ++t) {
    if (ids[t] < 0 || ids[t] >= vocab_end) {
      throw Error("token id " + std::to_string(ids[t]) + " is outside the vocabulary of " +
                  std::to_string(spec_.vocab));
    }
    if (type_ids != nullptr && (type_ids[t] < 0 || type_ids[t] >= std::max(spec_.types, 1))) {
      throw Error("token type " + std::to_string(type_ids[t]) + " is outside 0 .. " +
                  std::to_string(std::max(spec_.types, 1) - 1));
    }
  }
}

size_t Model::MostSpans(int64_t sequences, int64_t tokens) const {
  // For each layer a span for each head of a sequence and at most a dozen for each panel and its barriers; a panel each
  // to embed, of which every sequence may begin a new one.
  const int64_t panels = tokens / kLanes + sequences + 1;
  return static_cast<size_t>((spec_.layers + 1) * (sequences * spec_.heads + 16 * (panels + 1)));
}

void Model::Forward(const int32_t* ids, const int32_t* type_ids, const int32_t* cu_seqlens, int32_t sequences,
                    int32_t output, float* out, int64_t out_size, bool alone, Profile* profile) {
  if (sequences < 0) throw Error("the number of sequences is negative");
  const int64_t tokens = sequences == 0 ? 0 : cu_seqlens[sequences];
  if (sequences > 0) CheckBatch(ids, type_ids, cu_seqlens, sequences);
  if (OutputSize(output, tokens, sequences) != out_size) throw Error("the output buffer has the wrong size");
  if (sequences == 0) return;

  const auto [instance, lock] = alone ? TakeAll() : TakeInstance();
  ForwardPass pass(*this, *instance, {ids, type_ids, cu_seqlens, sequences, tokens}, output, out, profile);
  instance->pool.Run([&pass](int thread) { pass.Run(thread); });
}

std::pair<Instance*, std::unique_lock<std::mutex>> Model::TakeInstance() {
  for (const std::unique_ptr<Instance>& instance : instances_) {
    std::unique_lock<std::mutex> lock(instance->mutex, std::try_to_lock);
    if (lock.owns_lock()) return {instance.get(), std::move(lock)};
  }
  Instance& instance = *instances_[next_.fetch_add(1, std::memory_order_relaxed) % instances_.size()];
  return {&instance, std::unique_lock<std::mutex>(instance.mutex)};
}

std::pair<Instance*, std::unique_lock<std::mutex>> Model::TakeAll() {
  if (instances_.size() == 1) return TakeInstance();
  const std::lock_guard<std::mutex> making(all_mutex_);
  if (all_ == nullptr) all_ = std::make_unique<Instance>(threads() * static_cast<int>(instances_.size()));
  return {all_.get(), std::unique_lock<std::mutex>(all_->mutex)};
}

std::string Model::Describe() {
  // No iostreams: see ReadText in base/cpu.cc.
  const auto text = [](const std::string& value) { return "\"" + value + "\""; };
  std::string json = "{\"isa\": " + text(IsaName(isa_)) + ", \"threads\": " + std::to_string(threads()) +
                     ", \"instances\": " + std::to_string(instances_.size()) +
                     ", \"precision\": " + text(PrecisionName(spec_.precision)) + ", \"layers\": [";
  bool first = true;
  const auto row = [&](const std::string& name, const Linear& linear) {
    const Linear::Plan& plan = linear.plan();
    json += (first ? "{\"name\": " : ", {\"name\": ") + text(name) +
            ", \"kernel\": " + text(linear.KernelName(kernels_)) + ", \"shape\": [" + std::to_string(plan.rows) + ", " +
            std::to_string(plan.cols) +
            "], \"pattern\": " + (plan.block_rows == 0 ? "null" : text(std::to_string(plan.block_rows) + "x4")) +
            ", \"blocks\": " + std::to_string(plan.blocks) + ", \"packed_bytes\": " + std::to_string(plan.bytes) + "}";
    first = false;
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string name = LayerName(static_cast<int64_t>(i));
    row(name + "attention.qkv", layers_[i].qkv);
    row(name + "attention.output", layers_[i].output);
    row(name + "ffn.in", layers_[i].ffn_in);
    row(name + "ffn.out", layers_[i].ffn_out);
  }
  if (spec_.head_kind != LIMBECK_HEAD_NONE) {
    if (spec_.head_dense >= 0) row("head.dense", head_dense_);
    row("head.classifier", classifier_);
  }
  size_t arena = 0;
  for (const std::unique_ptr<Instance>& instance : instances_) {
    const std::lock_guard<std::mutex> lock(instance->mutex);
    arena += instance->workspace.size_bytes();
  }
  {
    const std::lock_guard<std::mutex> making(all_mutex_);
    if (all_ != nullptr) {
      const std::lock_guard<std::mutex> lock(all_->mutex);
      arena += all_->workspace.size_bytes();
    }
  }
  json += "], \"attention\": " +
          text(spec_.precision == LIMBECK_INT8 ? kernels_.attention_s16.name : kernels_.attention.name) +
          ", \"layer_norm\": " + text(kernels_.layer_norm.name) + ", \"quantize\": " +
          text(spec_.precision == LIMBECK_BF16 ? kernels_.round_bf16.name : kernels_.quantize.name) +
          ", \"weights_bytes\": " + std::to_string(slab_.size()) + ", \"arena_bytes\": " + std::to_string(arena) + "}";
  return json;
}

}  // namespace limbeck
