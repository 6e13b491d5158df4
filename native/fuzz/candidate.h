// Bytes -> a model and batches as a caller of the C interface might pass them, and what the engine owes to each.
//
// Most inputs give a sound model; every other one of the rest carries a fault of a known kind. What must be refused is
// decided here, from limbeck.h alone, without a look at the engine's own checks.
#ifndef LIMBECK_FUZZ_CANDIDATE_H_
#define LIMBECK_FUZZ_CANDIDATE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "bind/limbeck.h"
#include "fuzz/bytes.h"

namespace limbeck::fuzz {

enum class Owed {
  kAnswer,   // sound: must be accepted
  kRefusal,  // broken: must be refused with a message
  kEither    // a random spec: accepted or refused, but no crash
};

// Vectors hold exactly what the shape asks for, so that AddressSanitizer sees any access beyond it.
struct NamedTensor {
  std::string name;
  int32_t dtype = LIMBECK_F32;
  int32_t rank = 1;
  int64_t shape[2] = {0, 0};
  std::vector<float> f32;
  std::vector<int8_t> s8;
  std::vector<float> scale;
  bool no_name = false;
  bool no_data = false;
  bool no_scale = false;

  LimbeckTensor View() const;
};

struct ModelCandidate {
  LimbeckModelSpec spec = {};
  LimbeckModelSpec other_costs = {};  // the same, but other kernels may seem the fastest: never a matter of bits
  std::vector<NamedTensor> tensors;
  int32_t tensor_count = 0;
  std::string isa;  // empty: the best
  int32_t threads = 1;
  Owed owed = Owed::kAnswer;
  bool moderate = true;  // values like those of trained models: answers must be finite
  std::string fault;     // for whoever reads a finding
};

struct BatchCandidate {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
  bool has_types = false;
  std::vector<int32_t> cu_seqlens = {0};
  int32_t sequences = 0;
  int32_t output = LIMBECK_HIDDEN;
  int64_t out_size = 0;
  Owed owed = Owed::kAnswer;
  std::string fault;
};

ModelCandidate DecodeModel(Bytes& bytes);

// A batch for a model of this spec, which the engine has accepted.
BatchCandidate DecodeBatch(Bytes& bytes, const LimbeckModelSpec& spec);

// The longest sequence that a model of this spec can take; less than 1: none.
int64_t LongestSequence(const LimbeckModelSpec& spec);
// Floats of one sequence's answer, and of a whole batch's; -1 for an output that the model does not have.
int64_t AnswerSize(const LimbeckModelSpec& spec, int32_t output, int64_t tokens, int64_t sequences);

// Names of the instruction sets to be had, best first.
std::vector<std::string> Isas();

}  // namespace limbeck::fuzz

#endif  // LIMBECK_FUZZ_CANDIDATE_H_
