// The memory of a forward pass: one slab, laid out anew only when a batch is larger than any before.
#ifndef LIMBECK_MODEL_WORKSPACE_H_
#define LIMBECK_MODEL_WORKSPACE_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/slab.h"
#include "bind/limbeck.h"
#include "ops/linear.h"

namespace limbeck {

// Panels that one thread carries through the token-wise half of a layer at a time: enough to use each weight that is
// read from memory several times, few enough that the feed-forward block's intermediate stays near the core.
constexpr int64_t kBlockPanels = 8;

// Room for the feed-forward block of kBlockPanels panels. One per thread.
struct BlockScratch {
  float* ffn = nullptr;  // [kBlockPanels][F][16]
  QuantizedPanels context;
  QuantizedPanels ffn_q;
};

class Workspace {
 public:
  // Feature rows of panels, rounded up to whole row groups.
  void Plan(const LimbeckModelSpec& spec, int64_t tokens, int64_t sequences, int64_t longest, int threads);
  size_t size_bytes() const { return slab_.size(); }

  int64_t hidden_rows = 0;
  int64_t qkv_rows = 0;
  int64_t ffn_rows = 0;

  int32_t* positions = nullptr;     // [T]
  int32_t* first_tokens = nullptr;  // [B]
  float* x = nullptr;               // [panels][hidden_rows][16], the residual stream
  float* sum = nullptr;             // [panels][hidden_rows][16], before a layer norm
  float* qkv = nullptr;             // [panels][qkv_rows][16]
  float* context = nullptr;         // [panels][hidden_rows][16]
  float* low = nullptr;             // [panels][16], range of x
  float* high = nullptr;
  float* first = nullptr;  // [sequence panels][hidden_rows][16], x of each sequence's first token
  QuantizedPanels x_q;
  std::vector<BlockScratch> blocks;  // one per thread
  std::vector<float*> attention;     // one per thread
  float* head = nullptr;             // [panels or sequence panels][hidden_rows][16]
  float* logits = nullptr;           // [panels or sequence panels][label_rows][16]
  int64_t label_rows = 0;

 private:
  Slab slab_;
  int64_t tokens_ = -1;
  int64_t sequences_ = -1;
  int64_t longest_ = -1;
};

}  // namespace limbeck

#endif  // LIMBECK_MODEL_WORKSPACE_H_
