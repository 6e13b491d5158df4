// The memory of a forward pass: slabs that are laid out anew only when a batch is larger than any before.
#ifndef LIMBECK_MODEL_WORKSPACE_H_
#define LIMBECK_MODEL_WORKSPACE_H_

#include <cstdint>
#include <vector>

#include "base/slab.h"
#include "bind/limbeck.h"
#include "ops/linear.h"

namespace limbeck {

// Panels that one thread carries through the token-wise half of a layer at a time: enough to use each weight that is
// read from memory several times, few enough that the feed-forward block's intermediate stays near the core.
constexpr int64_t kBlockPanels = 8;

inline Arithmetic ArithmeticOf(int32_t precision) {
  return precision == LIMBECK_INT8   ? Arithmetic::kInt8
         : precision == LIMBECK_BF16 ? Arithmetic::kBf16
                                     : Arithmetic::kF32;
}

// Feature rows of panels, rounded up to whole row groups.
struct PanelRows {
  explicit PanelRows(const LimbeckModelSpec& spec)
      : hidden(RoundUp(spec.hidden, kRowGroup)),
        qkv(RoundUp(3 * int64_t{spec.hidden}, kRowGroup)),
        ffn(RoundUp(spec.ffn, kRowGroup)),
        labels(RoundUp(spec.labels, kRowGroup)) {}
  int64_t hidden;
  int64_t qkv;
  int64_t ffn;
  int64_t labels;
};

// The activations of a run of tokens, P panels of them.
class Area {
 public:
  // Room for so many tokens; `qkv`: with queries, keys and values; `head`: with a head's outputs. What was there is
  // lost.
  void Plan(const LimbeckModelSpec& spec, int64_t tokens, bool qkv, bool head);
  size_t size_bytes() const { return slab_.size(); }

  int32_t* positions = nullptr;  // [tokens]
  float* x = nullptr;            // [P][hidden][16], the residual stream
  float* sum = nullptr;          // [P][hidden][16], before a layer norm
  float* qkv = nullptr;          // [P][qkv][16]
  float* context = nullptr;      // [P][hidden][16]
  float* low = nullptr;          // [P][16], range of x
  float* high = nullptr;
  QuantizedPanels x_q;
  uint16_t* x_pairs = nullptr;  // [P][hidden / 2][16][2], bf16
  float* head = nullptr;        // [P][hidden][16]
  float* logits = nullptr;      // [P][labels][16]

 private:
  Slab slab_;
  int64_t tokens_ = -1;
};

// What one thread needs beside the activations.
class Scratch {
 public:
  // `longest`: tokens of the longest sequence.
  void Plan(const LimbeckModelSpec& spec, int64_t longest);
  size_t size_bytes() const { return slab_.size(); }

  // The feed-forward block's intermediate, kBlockPanels panels: floats, bf16, or half precision with its range.
  float* ffn = nullptr;            // [kBlockPanels][ffn][16]
  uint16_t* ffn_pairs = nullptr;   // [kBlockPanels][ffn / 2][16][2]
  uint16_t* ffn_staged = nullptr;  // [kBlockPanels][ffn][16]
  float* ffn_low = nullptr;        // [kBlockPanels][16]
  float* ffn_high = nullptr;
  QuantizedPanels context;
  uint16_t* context_pairs = nullptr;  // [kBlockPanels][hidden / 2][16][2]
  QuantizedPanels ffn_q;
  float* attention = nullptr;

 private:
  Slab slab_;
  int64_t longest_ = -1;
};

// A run of whole sequences.
struct Part {
  int64_t sequence_begin;
  int64_t sequence_end;
  int64_t token_begin;
  int64_t tokens;
  int64_t panels() const { return RoundUp(tokens, kLanes) / kLanes; }
};

struct Workspace {
  std::vector<Part> parts;
  std::vector<int64_t> loads;    // tokens a thread, while parts are being cut
  std::vector<Area> areas;       // one for each thread; the first alone for all tokens together
  Area first;                    // each sequence's first token, where the answer needs no others
  std::vector<Scratch> scratch;  // one for each thread

  size_t size_bytes() const;
};

}  // namespace limbeck

#endif  // LIMBECK_MODEL_WORKSPACE_H_
