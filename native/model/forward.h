// One forward pass, run by all threads of a pool together.
//
// Every layer is two halves with a barrier between them: attention, which needs all tokens of a sequence, and the
// token-wise rest (projection, norms, feed-forward, the next layer's queries, keys and values), which a thread carries
// through for a block of tokens without meeting anybody. With too few tokens to go round, the threads split the output
// rows of each linear layer instead. No sum depends on either choice, so the bits of an answer do not.
#ifndef LIMBECK_MODEL_FORWARD_H_
#define LIMBECK_MODEL_FORWARD_H_

#include <atomic>
#include <cstdint>

#include "model/model.h"

namespace limbeck {

struct BatchView {
  const int32_t* ids;
  const int32_t* type_ids;  // null: all zero
  const int32_t* cu_seqlens;
  int64_t sequences;
  int64_t tokens;
};

class ForwardPass {
 public:
  // The workspace is planned and the batch checked.
  ForwardPass(Model& model, const BatchView& batch, int32_t output, float* out);

  // What thread `thread` of the pool does; all of them must call it.
  void Run(int thread);

 private:
  // A range of panels of the residual stream, with the buffers that go with it.
  struct Stream {
    float* x;  // [panels][hidden_rows][16]
    int64_t panels;
    bool split_rows;       // threads share each linear layer's rows; otherwise they take blocks of panels
    int64_t block_panels;  // panels a block
    int64_t blocks;
  };

  Stream MakeStream(float* x, int64_t tokens) const;

  void Embed(int64_t panel);
  void Attend(const Layer& layer, int64_t item, bool first_only, int thread);
  void GatherFirst(int64_t panel);
  void TokenWise(const Stream& stream, const Layer& layer, const Layer* next, int thread,
                 std::atomic<int64_t>& counter);
  void TokenWiseSplit(const Stream& stream, const Layer& layer, const Layer* next, int thread);
  void TokenWiseBlock(const Stream& stream, const Layer& layer, const Layer* next, int64_t begin, int64_t end,
                      int thread);

  // The pieces of a layer, for any range of row groups and panels. `base` is the panel of a scratch buffer's start.
  void QuantizeContext(int64_t begin, int64_t end, const BlockScratch& scratch, int64_t base);
  void Project(const Stream& stream, const Layer& layer, const BlockScratch& scratch, int64_t base,
               const Linear::Range& range);
  void Normalize(const Stream& stream, const Norm& norm, int64_t begin, int64_t end);
  void FeedIn(const Stream& stream, const Layer& layer, const BlockScratch& scratch, int64_t base,
              const Linear::Range& range);
  void QuantizeFeed(int64_t begin, int64_t end, const BlockScratch& scratch, int64_t base);
  void FeedOut(const Stream& stream, const Layer& layer, const BlockScratch& scratch, int64_t base,
               const Linear::Range& range);
  void QueriesKeysValues(const Stream& stream, const Layer& layer, const Linear::Range& range);

  void HeadOutput(const Stream& stream, int thread);
  void WriteTokens(const float* panels, int64_t panel_rows, int64_t width, int64_t tokens, int64_t panel);
  void WritePooled(int64_t sequence);

  Linear::Range Share(const Linear& linear, const Stream& stream, int thread) const;

  Model& model_;
  const LimbeckModelSpec& spec_;
  const Kernels& kernels_;
  Workspace& ws_;
  const BatchView batch_;
  const int32_t output_;
  float* const out_;
  const int threads_;
  const bool int8_;
  const bool first_only_;  // the answer needs the last layer for each sequence's first token alone
  static constexpr int kCounters = 4;
  // Next item of a stage. A stage takes counter stage % 4 and resets the one two ahead, which nobody uses by then.
  std::atomic<int64_t> counters_[kCounters];
};

}  // namespace limbeck

#endif  // LIMBECK_MODEL_FORWARD_H_
