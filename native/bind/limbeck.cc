#include "bind/limbeck.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "base/cpu.h"
#include "base/error.h"
#include "bench/bench.h"
#include "model/model.h"
#include "model/profile.h"

// The opaque type of the header.
struct LimbeckModel {
  limbeck::Model model;
};

namespace {

// No std::string: where memory has run out, none can be made.
void CopyText(const char* text, char* to, int64_t size) {
  if (to == nullptr || size <= 0) return;
  const size_t count = std::min(std::strlen(text), static_cast<size_t>(size - 1));
  std::memcpy(to, text, count);
  to[count] = '\0';
}

// Calls `work`; 0 when it returns, 1 with a message when it throws.
template <typename Work>
int32_t Guard(char* error, int32_t error_size, Work work) {
  try {
    work();
    return 0;
  } catch (const std::bad_alloc&) {
    CopyText("out of memory", error, error_size);
  } catch (const std::exception& exception) {
    CopyText(exception.what(), error, error_size);
  }
  return 1;
}

}  // namespace

int32_t limbeck_abi_version(void) { return LIMBECK_ABI_VERSION; }

void limbeck_isas(char* names, int32_t names_size) {
  CopyText("", names, names_size);
  Guard(nullptr, 0, [&] {
    std::string text;
    for (limbeck::Isa isa : limbeck::AvailableIsas()) {
      if (!text.empty()) text += ',';
      text += limbeck::IsaName(isa);
    }
    CopyText(text.c_str(), names, names_size);
  });
}

int32_t limbeck_has_bf16(const char* isa) {
  int32_t has = 0;
  Guard(nullptr, 0, [&] {
    const limbeck::Isa chosen = limbeck::ChooseIsa(isa == nullptr ? "" : isa);
    has = limbeck::ChooseKernels(chosen).gemm_bf16.isa != limbeck::Isa::kReference ? 1 : 0;
  });
  return has;
}

int32_t limbeck_available_cpus(void) {
  int32_t cpus = 1;
  Guard(nullptr, 0, [&] { cpus = limbeck::AvailableCpus(); });
  return cpus;
}

int32_t limbeck_model_create(const LimbeckModelSpec* spec, const LimbeckTensor* tensors, int32_t tensor_count,
                             const char* isa, int32_t threads, int32_t instances, LimbeckModel** model, char* error,
                             int32_t error_size) {
  return Guard(error, error_size, [&] {
    if (spec->abi_version != LIMBECK_ABI_VERSION) throw limbeck::Error("the caller and the library differ in version");
    if (threads < 1 || threads > 1024) throw limbeck::Error("threads must be in 1 .. 1024");
    if (instances < 1 || instances > 1024) throw limbeck::Error("instances must be in 1 .. 1024");
    const limbeck::Isa chosen = limbeck::ChooseIsa(isa == nullptr ? "" : isa);
    *model = new LimbeckModel{limbeck::Model(*spec, tensors, tensor_count, chosen, threads, instances)};
  });
}

void limbeck_model_destroy(LimbeckModel* model) { delete model; }

int32_t limbeck_model_forward(LimbeckModel* model, const int32_t* ids, const int32_t* type_ids,
                              const int32_t* cu_seqlens, int32_t sequences, int32_t output, float* out,
                              int64_t out_size, int32_t alone, char* error, int32_t error_size) {
  return Guard(error, error_size,
               [&] { model->model.Forward(ids, type_ids, cu_seqlens, sequences, output, out, out_size, alone != 0); });
}

int32_t limbeck_model_profile(LimbeckModel* model, const int32_t* ids, const int32_t* type_ids,
                              const int32_t* cu_seqlens, int32_t sequences, int32_t output, float* out,
                              int64_t out_size, LimbeckSpan* spans, int64_t spans_size, int64_t* spans_count,
                              char* error, int32_t error_size) {
  return Guard(error, error_size, [&] {
    const int64_t tokens = sequences > 0 ? std::max<int64_t>(cu_seqlens[sequences], 0) : 0;
    limbeck::Profile profile(model->model.threads(), model->model.MostSpans(std::max(sequences, 0), tokens));
    model->model.Forward(ids, type_ids, cu_seqlens, sequences, output, out, out_size, false, &profile);
    *spans_count = 0;
    for (const std::vector<LimbeckSpan>& own : profile.spans()) {
      for (const LimbeckSpan& span : own) {
        if (*spans_count < spans_size) spans[*spans_count] = span;
        ++*spans_count;
      }
    }
  });
}

int64_t limbeck_model_describe(LimbeckModel* model, char* json, int64_t json_size) {
  std::string text;
  if (Guard(nullptr, 0, [&] { text = model->model.Describe(); }) != 0) return -1;
  CopyText(text.c_str(), json, json_size);
  return static_cast<int64_t>(text.size());
}

int32_t limbeck_bench_linear(const char* isa, int32_t precision, int64_t rows, int64_t cols, int64_t tokens,
                             int32_t block_rows, double density, double seconds, double* passes, int32_t passes_size,
                             int32_t* passes_count, double* operations, char* error, int32_t error_size) {
  return Guard(error, error_size, [&] {
    const limbeck::LinearCase layer = {rows, cols, tokens, limbeck::ArithmeticOf(precision), block_rows, density};
    const limbeck::LinearTiming timing =
        limbeck::TimeLinear(layer, limbeck::ChooseIsa(isa == nullptr ? "" : isa), seconds);
    *passes_count = std::min(static_cast<int32_t>(timing.seconds.size()), passes_size);
    std::copy_n(timing.seconds.begin(), *passes_count, passes);
    *operations = timing.operations;
  });
}

int32_t limbeck_bench_peak(const char* isa, int32_t precision, double seconds, double* operations, char* error,
                           int32_t error_size) {
  return Guard(error, error_size, [&] {
    *operations = limbeck::PeakOperations(limbeck::ChooseIsa(isa == nullptr ? "" : isa),
                                          limbeck::ArithmeticOf(precision), seconds);
  });
}
