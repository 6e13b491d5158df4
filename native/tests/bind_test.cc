// The C interface as Python calls it: a small model through every instruction set, and what it must refuse.
#include "bind/limbeck.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/check.h"

namespace {

struct Named {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> f32;
  std::vector<int8_t> s8;
  std::vector<float> scale;
};

class TinyModel {
 public:
  explicit TinyModel(int32_t precision, int32_t activations = LIMBECK_DYNAMIC) {
    spec = {
        LIMBECK_ABI_VERSION,   precision,    2, 24,     3,  40,         50, 70, 2, LIMBECK_GELU, LIMBECK_ABSOLUTE, 0,
        LIMBECK_HEAD_SEQUENCE, LIMBECK_TANH, 3, 1e-12f, {}, activations};
    Embedding("embeddings.word", spec.vocab);
    Float("embeddings.position", {spec.positions, spec.hidden}, -0.5, 0.5);
    Float("embeddings.type", {spec.types, spec.hidden}, -0.5, 0.5);
    Norm("embeddings.norm");
    for (int i = 0; i < spec.layers; ++i) {
      const std::string layer = "layers." + std::to_string(i) + ".";
      for (const char* part : {"query", "key", "value", "output"}) {
        Linear(layer + "attention." + part, spec.hidden, spec.hidden);
      }
      Norm(layer + "attention.norm");
      Linear(layer + "ffn.in", spec.ffn, spec.hidden);
      Linear(layer + "ffn.out", spec.hidden, spec.ffn);
      Norm(layer + "ffn.norm");
      if (activations != LIMBECK_STATIC) continue;
      // narrow enough that some values lie beyond
      for (const char* part : {"attention", "attention.output", "ffn.in", "ffn.out"}) {
        Float(layer + part + ".range", {2}, 1, 2);
        tensors.back().f32[0] *= -1;
      }
    }
    Float("head.dense.weight", {spec.hidden, spec.hidden}, -0.5, 0.5);
    Float("head.dense.bias", {spec.hidden}, -0.2, 0.2);
    Float("head.classifier.weight", {spec.labels, spec.hidden}, -0.5, 0.5);
    Float("head.classifier.bias", {spec.labels}, -0.2, 0.2);
  }

  std::vector<LimbeckTensor> Tensors() const {
    std::vector<LimbeckTensor> result;
    for (const Named& t : tensors) {
      LimbeckTensor tensor = {};
      tensor.name = t.name.c_str();
      tensor.dtype = t.s8.empty() ? LIMBECK_F32 : LIMBECK_S8;
      tensor.rank = static_cast<int32_t>(t.shape.size());
      tensor.shape[0] = t.shape[0];
      tensor.shape[1] = t.shape.size() == 2 ? t.shape[1] : 1;
      tensor.data = t.s8.empty() ? static_cast<const void*>(t.f32.data()) : t.s8.data();
      tensor.scale = t.s8.empty() ? nullptr : t.scale.data();
      result.push_back(tensor);
    }
    return result;
  }

  Named& Find(const std::string& name) {
    for (Named& tensor : tensors) {
      if (tensor.name == name) return tensor;
    }
    CHECK_THAT(false, "no tensor %s", name.c_str());
    std::abort();
  }

  LimbeckModelSpec spec;
  std::vector<Named> tensors;

 private:
  void Float(const std::string& name, std::vector<int64_t> shape, double low, double high) {
    Named tensor{name, shape, {}, {}, {}};
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    std::uniform_real_distribution<float> draw(static_cast<float>(low), static_cast<float>(high));
    for (int64_t i = 0; i < count; ++i) tensor.f32.push_back(draw(random_));
    tensors.push_back(tensor);
  }
  void Int8(const std::string& name, int64_t rows, int64_t cols) {
    Named tensor{name, {rows, cols}, {}, {}, {}};
    std::uniform_int_distribution<int> draw(-127, 127);
    for (int64_t i = 0; i < rows * cols; ++i) tensor.s8.push_back(static_cast<int8_t>(draw(random_)));
    std::uniform_real_distribution<float> scale(0.002f, 0.004f);
    for (int64_t r = 0; r < rows; ++r) tensor.scale.push_back(scale(random_));
    tensors.push_back(tensor);
  }
  void Embedding(const std::string& name, int64_t rows) {
    if (spec.precision == LIMBECK_INT8) {
      Int8(name, rows, spec.hidden);
    } else {
      Float(name, {rows, spec.hidden}, -0.5, 0.5);
    }
  }
  void Linear(const std::string& prefix, int64_t rows, int64_t cols) {
    if (spec.precision == LIMBECK_INT8) {
      Int8(prefix + ".weight", rows, cols);
    } else {
      Float(prefix + ".weight", {rows, cols}, -0.3, 0.3);
    }
    Float(prefix + ".bias", {rows}, -0.2, 0.2);
  }
  void Norm(const std::string& prefix) {
    Float(prefix + ".gain", {spec.hidden}, 0.5, 1.5);
    Float(prefix + ".bias", {spec.hidden}, -0.2, 0.2);
  }

  limbeck::test::Random random_{6};
};

std::string Create(const TinyModel& tiny, const char* isa, int threads, LimbeckModel** model, int instances = 1) {
  char error[512] = "";
  const std::vector<LimbeckTensor> tensors = tiny.Tensors();
  const int32_t failed = limbeck_model_create(&tiny.spec, tensors.data(), static_cast<int32_t>(tensors.size()), isa,
                                              threads, instances, model, error, sizeof(error));
  CHECK_THAT((failed != 0) == (error[0] != '\0'), "an error without a message, or a message without an error");
  return error;
}

void ExpectRefused(const TinyModel& tiny, const std::string& part) {
  LimbeckModel* model = nullptr;
  const std::string error = Create(tiny, nullptr, 1, &model);
  CHECK_THAT(error.find(part) != std::string::npos, "expected an error about '%s', got '%s'", part.c_str(),
             error.c_str());
}

struct Batch {
  std::vector<int32_t> ids;
  std::vector<int32_t> cu = {0};
  void Add(int length, int seed) {
    limbeck::test::Random random(static_cast<unsigned>(seed));
    std::uniform_int_distribution<int32_t> draw(0, 49);
    for (int i = 0; i < length; ++i) ids.push_back(draw(random));
    cu.push_back(static_cast<int32_t>(ids.size()));
  }
  int32_t sequences() const { return static_cast<int32_t>(cu.size()) - 1; }
};

std::vector<float> Forward(LimbeckModel* model, const Batch& batch, int32_t output, size_t size, int32_t alone = 0) {
  std::vector<float> out(size);
  char error[512] = "";
  const int32_t failed =
      limbeck_model_forward(model, batch.ids.data(), nullptr, batch.cu.data(), batch.sequences(), output, out.data(),
                            static_cast<int64_t>(size), alone, error, sizeof(error));
  CHECK_THAT(failed == 0, "%s", error);
  return out;
}

std::string Refusal(LimbeckModel* model, const Batch& batch, int32_t output, size_t size) {
  std::vector<float> out(size);
  char error[512] = "";
  const int32_t failed = limbeck_model_forward(model, batch.ids.data(), nullptr, batch.cu.data(), batch.sequences(),
                                               output, out.data(), static_cast<int64_t>(size), 0, error, sizeof(error));
  CHECK_THAT(failed != 0, "a bad batch was accepted");
  return error;
}

std::vector<std::string> Isas() {
  char names[128];
  limbeck_isas(names, sizeof(names));
  std::vector<std::string> result;
  std::istringstream text(names);
  for (std::string name; std::getline(text, name, ',');) result.push_back(name);
  return result;
}

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The same bits from every instruction set, thread count, batch and place in the batch.
void TestBitEquality(int32_t precision, int32_t activations = LIMBECK_DYNAMIC) {
  const TinyModel tiny(precision, activations);
  Batch batch;
  const std::vector<int> lengths = {5, 1, 33, 16, 70, 17, 2};
  for (size_t i = 0; i < lengths.size(); ++i) batch.Add(lengths[i], static_cast<int>(i));
  const size_t hidden_size = batch.ids.size() * static_cast<size_t>(tiny.spec.hidden);
  const size_t logits_size = lengths.size() * static_cast<size_t>(tiny.spec.labels);
  std::vector<float> hidden;
  std::vector<float> logits;
  for (const std::string& isa : Isas()) {
    if (precision == LIMBECK_BF16 && limbeck_has_bf16(isa.c_str()) == 0) {
      LimbeckModel* model = nullptr;
      CHECK_THAT(Contains(Create(tiny, isa.c_str(), 1, &model), "AVX512-BF16"), "bf16 on %s", isa.c_str());
      continue;
    }
    for (int threads : {1, 2, 3}) {
      LimbeckModel* model = nullptr;
      const std::string error = Create(tiny, isa.c_str(), threads, &model);
      CHECK_THAT(error.empty(), "%s", error.c_str());
      const std::vector<float> h = Forward(model, batch, LIMBECK_HIDDEN, hidden_size);
      const std::vector<float> l = Forward(model, batch, LIMBECK_LOGITS, logits_size);
      if (hidden.empty()) {
        hidden = h;
        logits = l;
        for (float value : hidden) CHECK_THAT(std::isfinite(value), "a hidden state is not finite");
      }
      CHECK_THAT(h == hidden && l == logits, "%s with %d threads gives other bits", isa.c_str(), threads);
      for (size_t i = 0; i < lengths.size(); ++i) {
        Batch alone;
        alone.Add(lengths[i], static_cast<int>(i));
        const std::vector<float> own = Forward(model, alone, LIMBECK_LOGITS, static_cast<size_t>(tiny.spec.labels));
        for (size_t label = 0; label < own.size(); ++label) {
          CHECK_THAT(own[label] == logits[i * own.size() + label], "sequence %zu alone gives other bits", i);
        }
      }
      limbeck_model_destroy(model);
    }
  }
}

void TestRefusedModels() {
  for (int32_t precision : {LIMBECK_FP32, LIMBECK_INT8}) {
    TinyModel missing(precision);
    missing.tensors.pop_back();
    ExpectRefused(missing, "head.classifier.bias is missing");
    TinyModel extra(precision);
    extra.tensors.push_back(extra.tensors.back());
    extra.tensors.back().name = "stowaway";
    ExpectRefused(extra, "stowaway does not belong");
    TinyModel twice(precision);
    twice.tensors.push_back(twice.tensors.back());
    ExpectRefused(twice, "given twice");
    TinyModel shape(precision);
    shape.Find("layers.1.ffn.in.weight").shape = {24, 40};
    ExpectRefused(shape, "has shape [24, 40], expected [40, 24]");
    TinyModel nan(precision);
    nan.Find("layers.0.ffn.in.bias").f32[3] = std::numeric_limits<float>::quiet_NaN();
    ExpectRefused(nan, "layers.0.ffn.in.bias holds a value that is not finite");
    TinyModel heads(precision);
    heads.spec.heads = 5;
    ExpectRefused(heads, "does not divide");
    for (float norm_eps : {0.0f, -1e-5f, std::numeric_limits<float>::quiet_NaN()}) {
      TinyModel epsilon(precision);
      epsilon.spec.norm_eps = norm_eps;
      ExpectRefused(epsilon, "norm_eps");
    }
    for (int32_t pad_id : {-1, 50, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
      TinyModel padding(precision);
      padding.spec.position_mode = LIMBECK_AFTER_PADDING;
      padding.spec.pad_id = pad_id;
      ExpectRefused(padding, "padding id");
    }
    TinyModel layers(precision);
    layers.spec.layers = 0;
    ExpectRefused(layers, "size outside");
    TinyModel version(precision);
    version.spec.abi_version = 99;
    ExpectRefused(version, "differ in version");
  }
  for (const std::pair<float, float>& ends :
       {std::pair(0.5f, 1.0f), std::pair(-1.0f, -0.5f), std::pair(0.0f, 0.0f), std::pair(-3e38f, 3e38f)}) {
    TinyModel range(LIMBECK_INT8, LIMBECK_STATIC);
    range.Find("layers.1.ffn.in.range").f32 = {ends.first, ends.second};
    ExpectRefused(range, "layers.1.ffn.in.range is no range");
  }
  ExpectRefused(TinyModel(LIMBECK_FP32, LIMBECK_STATIC), "for int8 models");
  TinyModel scale(LIMBECK_INT8);
  scale.Find("layers.0.attention.key.weight").scale[7] = -1.0f;
  ExpectRefused(scale, "row 7");
  TinyModel mixed(LIMBECK_FP32);
  mixed.spec.precision = LIMBECK_INT8;
  ExpectRefused(mixed, "must be int8");
  LimbeckModel* model = nullptr;
  CHECK_THAT(Contains(Create(TinyModel(LIMBECK_FP32), "sse17", 1, &model), "is not known"), "unknown isa accepted");
  CHECK_THAT(Contains(Create(TinyModel(LIMBECK_FP32), nullptr, 0, &model), "threads"), "0 threads accepted");
  CHECK_THAT(Contains(Create(TinyModel(LIMBECK_FP32), nullptr, 1, &model, 0), "instances"), "0 instances accepted");
}

void TestRefusedBatches() {
  const TinyModel tiny(LIMBECK_INT8);
  LimbeckModel* model = nullptr;
  CHECK_THAT(Create(tiny, nullptr, 2, &model).empty(), "create");
  Batch good;
  good.Add(9, 1);
  Batch bad = good;
  bad.ids[4] = 50;
  CHECK_THAT(Contains(Refusal(model, bad, LIMBECK_LOGITS, 3), "outside the vocabulary"), "id too large");
  bad.ids[4] = -1;
  CHECK_THAT(Contains(Refusal(model, bad, LIMBECK_LOGITS, 3), "outside the vocabulary"), "negative id");
  Batch longer;
  longer.Add(71, 2);
  CHECK_THAT(Contains(Refusal(model, longer, LIMBECK_LOGITS, 3), "positions end at 70"), "too long");
  Batch empty = good;
  empty.cu.push_back(empty.cu.back());
  CHECK_THAT(Contains(Refusal(model, empty, LIMBECK_LOGITS, 6), "has no tokens"), "empty sequence");
  Batch shifted = good;
  shifted.cu[0] = 1;
  CHECK_THAT(Contains(Refusal(model, shifted, LIMBECK_LOGITS, 3), "start with 0"), "cu_seqlens");
  CHECK_THAT(Contains(Refusal(model, good, LIMBECK_LOGITS, 4), "wrong size"), "output size");
  CHECK_THAT(Contains(Refusal(model, good, 9, 4), "unknown output"), "output kind");
  // It still answers after every refusal, and an empty batch has an empty answer.
  Forward(model, good, LIMBECK_LOGITS, 3);
  Forward(model, Batch(), LIMBECK_LOGITS, 0);
  limbeck_model_destroy(model);
}

// Callers from several threads take turns, or run side by side, and get their own answers.
void TestConcurrentCallers(int instances) {
  const TinyModel tiny(LIMBECK_INT8);
  LimbeckModel* model = nullptr;
  CHECK_THAT(Create(tiny, nullptr, 2, &model, instances).empty(), "create");
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([model, caller] {
      Batch batch;
      batch.Add(3 + 20 * caller, caller);
      const std::vector<float> first = Forward(model, batch, LIMBECK_LOGITS, 3);
      for (int i = 0; i < 20; ++i) {
        // Whoever says wrongly that nobody else is there waits longer, and no more.
        const std::vector<float> found = Forward(model, batch, LIMBECK_LOGITS, 3, i % 2);
        CHECK_THAT(found == first, "caller %d got another answer", caller);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  limbeck_model_destroy(model);
}

void TestDescribe() {
  LimbeckModel* model = nullptr;
  CHECK_THAT(Create(TinyModel(LIMBECK_INT8), "reference", 1, &model).empty(), "create");
  std::string text(static_cast<size_t>(limbeck_model_describe(model, nullptr, 0)) + 1, '\0');
  limbeck_model_describe(model, text.data(), static_cast<int64_t>(text.size()));
  CHECK_THAT(Contains(text, "\"kernel\": \"gemm_u8s8_s32_reference\""), "the forced kernel did not run: %s",
             text.c_str());
  CHECK_THAT(text[text.size() - 2] == '}', "the description is cut short");
  limbeck_model_destroy(model);
}

}  // namespace

int main() {
  CHECK_THAT(limbeck_abi_version() == LIMBECK_ABI_VERSION, "version");
  CHECK_THAT(limbeck_available_cpus() >= 1, "cpus");
  TestBitEquality(LIMBECK_FP32);
  TestBitEquality(LIMBECK_INT8);
  TestBitEquality(LIMBECK_INT8, LIMBECK_STATIC);
  TestBitEquality(LIMBECK_BF16);
  TestRefusedModels();
  TestRefusedBatches();
  for (int instances : {1, 2, 5}) TestConcurrentCallers(instances);
  TestDescribe();
  std::puts("bind: ok");
  return 0;
}
