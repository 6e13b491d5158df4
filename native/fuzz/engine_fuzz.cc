// libFuzzer's target: the C interface, as whatever an artifact or a caller may make of it.
//
// Owed by the engine, whatever the bytes: no crash and no finding of a sanitizer; an error has a message and a success
// has none; what limbeck.h forbids is refused; a sound model answers with finite numbers, and with the same bits again
// on another number of threads, with other costs, in other company, from other memory and, in int8, on every other
// instruction set.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fuzz/candidate.h"

namespace limbeck::fuzz {
namespace {

constexpr int kBatches = 2;

// libFuzzer takes an abort for a finding and an exit for the end of its own run.
#define OWED(condition, ...)                                                              \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: not owed this: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                                  \
      std::fprintf(stderr, "\n");                                                         \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

struct Destroy {
  void operator()(LimbeckModel* model) const { limbeck_model_destroy(model); }
};
using Handle = std::unique_ptr<LimbeckModel, Destroy>;

void CheckMessage(bool failed, const char* message, size_t size) {
  OWED(std::memchr(message, '\0', size) != nullptr, "a message without an end");
  OWED(failed == (message[0] != '\0'), "an error without a message, or a message without an error");
}

Handle Create(const ModelCandidate& candidate, const LimbeckModelSpec& given, const std::string& isa, int32_t threads) {
  // Copies that are gone when this returns: the engine may keep the word table, and nothing else.
  std::vector<NamedTensor> copies = candidate.tensors;
  std::vector<LimbeckTensor> views;
  for (size_t i = 0; i < copies.size(); ++i) {
    views.push_back(copies[i].View());
    if (copies[i].name == "embeddings.word" && !copies[i].no_data) views.back().data = candidate.tensors[i].View().data;
  }
  const LimbeckModelSpec spec = given;
  char error[64] = "";  // shorter than many a message
  LimbeckModel* model = nullptr;
  const int32_t failed =
      limbeck_model_create(&spec, views.data(), candidate.tensor_count, isa.empty() ? nullptr : isa.c_str(), threads,
                           threads, &model, error, sizeof(error));
  CheckMessage(failed != 0, error, sizeof(error));
  OWED((failed == 0) == (model != nullptr), "a model beside an error, or neither");
  if (candidate.owed == Owed::kAnswer) OWED(failed == 0, "sound, but refused: %s (%s)", error, candidate.fault.c_str());
  if (candidate.owed == Owed::kRefusal) OWED(failed != 0, "accepted in spite of: %s", candidate.fault.c_str());
  return Handle(model);
}

void CheckDescription(const Handle& model) {
  const int64_t size = limbeck_model_describe(model.get(), nullptr, 0);
  OWED(size > 2, "no description");
  std::vector<char> text(static_cast<size_t>(size) + 1);
  OWED(limbeck_model_describe(model.get(), text.data(), size + 1) == size, "a description of another length");
  OWED(text[0] == '{' && text[static_cast<size_t>(size) - 1] == '}', "half a description");
  std::vector<char> part(static_cast<size_t>(size) / 2);
  limbeck_model_describe(model.get(), part.data(), static_cast<int64_t>(part.size()));
  OWED(part.back() == '\0', "a cut description has no end");
}

// The answer; empty when refused.
std::vector<float> Forward(const Handle& model, const BatchCandidate& batch) {
  float unwritten;
  std::memset(&unwritten, 0xff, sizeof(unwritten));
  // A wrong size may be any: then there is no buffer, for it must be refused before anything is written.
  const bool writes = batch.out_size >= 0 && batch.fault != "out_size";
  std::vector<float> out(writes ? static_cast<size_t>(batch.out_size) : 0, unwritten);
  char error[64] = "";
  const int32_t failed = limbeck_model_forward(
      model.get(), batch.ids.data(), batch.has_types ? batch.type_ids.data() : nullptr, batch.cu_seqlens.data(),
      batch.sequences, batch.output, out.data(), batch.out_size, 0, error, sizeof(error));
  CheckMessage(failed != 0, error, sizeof(error));
  if (batch.owed == Owed::kAnswer) OWED(failed == 0, "a sound batch was refused: %s", error);
  if (batch.owed == Owed::kRefusal) OWED(failed != 0, "a batch was accepted in spite of: %s", batch.fault.c_str());
  if (failed != 0) return {};
  for (float value : out) OWED(std::memcmp(&value, &unwritten, sizeof(value)) != 0, "a number was left unwritten");
  return out;
}

// NaN, where weights drive sums beyond float, may carry any bits.
bool Same(const float* a, const float* b, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0 && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  }
  return true;
}

// Sequences `order` of a batch, in memory of their own.
BatchCandidate Rearranged(const LimbeckModelSpec& spec, const BatchCandidate& batch, const std::vector<size_t>& order) {
  BatchCandidate made;
  made.has_types = batch.has_types;
  made.output = batch.output;
  for (size_t b : order) {
    for (int32_t t = batch.cu_seqlens[b]; t < batch.cu_seqlens[b + 1]; ++t) {
      made.ids.push_back(batch.ids[static_cast<size_t>(t)]);
      if (batch.has_types) made.type_ids.push_back(batch.type_ids[static_cast<size_t>(t)]);
    }
    made.cu_seqlens.push_back(static_cast<int32_t>(made.ids.size()));
  }
  made.sequences = static_cast<int32_t>(order.size());
  made.ids.shrink_to_fit();
  made.type_ids.shrink_to_fit();
  made.cu_seqlens.shrink_to_fit();
  made.out_size = AnswerSize(spec, batch.output, made.cu_seqlens.back(), made.sequences);
  return made;
}

void CheckRearranged(const LimbeckModelSpec& spec, const Handle& model, const BatchCandidate& batch,
                     const std::vector<float>& wanted, const std::vector<size_t>& order) {
  const std::vector<float> found = Forward(model, Rearranged(spec, batch, order));
  size_t at = 0;
  for (size_t b : order) {
    const int64_t begin = AnswerSize(spec, batch.output, batch.cu_seqlens[b], static_cast<int64_t>(b));
    const int64_t end = AnswerSize(spec, batch.output, batch.cu_seqlens[b + 1], static_cast<int64_t>(b) + 1);
    const size_t count = static_cast<size_t>(end - begin);
    OWED(at + count <= found.size(), "an answer of another size");
    OWED(Same(found.data() + at, wanted.data() + begin, count), "sequence %zu gets other bits in other company", b);
    at += count;
  }
}

void CheckCompany(const LimbeckModelSpec& spec, const Handle& model, const BatchCandidate& batch,
                  const std::vector<float>& wanted) {
  std::vector<size_t> backwards;
  for (size_t b = static_cast<size_t>(batch.sequences); b-- > 0;) backwards.push_back(b);
  if (batch.sequences > 0) backwards.push_back(static_cast<size_t>(batch.sequences) / 2);
  CheckRearranged(spec, model, batch, wanted, backwards);
  if (batch.sequences > 0) CheckRearranged(spec, model, batch, wanted, {backwards.back()});
}

void Run(Bytes bytes) {
  const ModelCandidate candidate = DecodeModel(bytes);
  const Handle model = Create(candidate, candidate.spec, candidate.isa, candidate.threads);
  if (model == nullptr) return;
  CheckDescription(model);
  const Handle threaded = Create(candidate, candidate.other_costs, candidate.isa, candidate.threads % 3 + 1);
  OWED(threaded != nullptr, "accepted once, then refused");
  std::vector<Handle> others;
  for (const std::string& isa : Isas()) {
    if (candidate.spec.precision != LIMBECK_INT8 || isa == candidate.isa) continue;
    others.push_back(Create(candidate, candidate.spec, isa, 1));
    OWED(others.back() != nullptr, "%s refuses what %s accepts", isa.c_str(), candidate.isa.c_str());
  }
  for (int i = 0; i < kBatches; ++i) {
    const BatchCandidate batch = DecodeBatch(bytes, candidate.spec);
    const std::vector<float> found = Forward(model, batch);
    const std::vector<float> again = Forward(threaded, batch);
    if (batch.owed == Owed::kRefusal) continue;
    OWED(Same(found.data(), again.data(), found.size()), "another number of threads, or other costs, give other bits");
    CheckCompany(candidate.spec, threaded, batch, found);
    if (!candidate.moderate) continue;
    for (float value : found) OWED(std::isfinite(value), "an answer is not finite (%s)", candidate.fault.c_str());
    for (const Handle& other : others) {
      const std::vector<float> there = Forward(other, batch);
      OWED(Same(found.data(), there.data(), found.size()), "another instruction set gives other bits");
    }
  }
}

}  // namespace
}  // namespace limbeck::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limbeck::fuzz::Run(limbeck::fuzz::Bytes(data, size));
  return 0;
}
