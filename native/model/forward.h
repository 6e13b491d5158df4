// One forward pass, run by all threads of a pool together.
//
// A batch is cut into parts. With enough sequences for every thread, a part is a run of whole sequences that one thread
// carries through all layers by itself: no barriers, and its activations stay near its core. Otherwise the batch is one
// part: every layer is then two halves with a barrier between them, attention, which needs all tokens of a sequence,
// and the token-wise rest (projection, norms, feed-forward, the next layer's queries, keys and values), where threads
// take blocks of tokens or, with too few of them, share the output rows of each linear layer. No sum depends on any of
// these choices, so the bits of an answer do not.
#ifndef LIMBECK_MODEL_FORWARD_H_
#define LIMBECK_MODEL_FORWARD_H_

#include <atomic>
#include <cstdint>

#include "model/model.h"
#include "model/profile.h"

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
  // Plans the instance's workspace; throws Error when memory cannot be had. The batch is checked; `profile` may be
  // null.
  ForwardPass(Model& model, Instance& instance, const BatchView& batch, int32_t output, float* out, Profile* profile);

  // What thread `thread` of the pool does; all of them must call it.
  void Run(int thread);

 private:
  // Panels on their way through the token-wise half of a layer, and who takes which.
  struct Stream {
    const Area* area;
    int64_t panels;
    bool split_rows;       // threads share each linear layer's rows; otherwise they take blocks of panels
    int64_t block_panels;  // panels a block
    int64_t blocks;
  };
  // One call of a piece below: which panels of which area, with whose scratch, whose panel 0 is panel `base`.
  struct Work {
    const Area* area;
    const Scratch* scratch;
    int64_t base;
    int64_t begin;
    int64_t end;
    int thread;
    int layer;
  };

  // A linear layer's input panels in each arithmetic; those of the others may be null.
  struct Inputs {
    const float* f32;
    const uint16_t* pairs;
    const QuantizedPanels& q;
  };

  void MakeParts();
  Stream MakeStream(const Area& area, int64_t tokens) const;

  void RunPart(const Part& part, int thread);
  void RunTogether(const Part& all, int thread);
  void RunFirst(int thread, std::atomic<int64_t>& counter);

  void SetPositions(const Area& area, const Part& part);
  void Embed(const Area& area, const Part& part, int64_t panel, int thread);
  void Attend(const Area& area, const Part& part, int64_t item, bool first_only, int thread, int layer);
  void GatherFirst(const Area& area, const Part& part, int64_t begin, int64_t end);

  void TokenWise(const Stream& stream, int layer, int thread, std::atomic<int64_t>& counter);
  void TokenWiseSplit(const Stream& stream, int layer, int thread);
  void TokenWiseBlock(const Work& work);
  void RoundContext(const Work& work);
  void Project(const Work& work, const Linear::Range& range);
  void AddResidual(const Work& work, const Linear& linear, const Linear::Range& range, const Inputs& inputs,
                   int64_t input_rows);
  // `next`: the range of the layer that x goes to; null: to none, so it need not be rounded.
  void Normalize(const Work& work, const Norm& norm, const StaticRange* next);
  void RoundInput(const Area& area, int64_t panel, const StaticRange& range);
  void PrepareFeed(const Work& all, const Work& own);
  void FeedIn(const Work& work, const Linear::Range& range);
  void QuantizeFeed(const Work& work, int others);
  void FeedOut(const Work& work, const Linear::Range& range);
  void QueriesKeysValues(const Work& work, const Layer& layer, const Linear::Range& range);

  void HeadDense(const Area& area, const Linear::Range& range);
  void Classify(const Area& area, int64_t token_begin, int64_t tokens, int64_t begin, int64_t end);
  void WriteTokens(const float* panels, int64_t panel_rows, int64_t width, int64_t token_begin, int64_t tokens,
                   int64_t panel);
  void WritePooled(const Area& area, const Part& part, int64_t sequence);

  Linear::Range Share(const Linear& linear, int64_t panels, int thread) const;
  void Wait(int thread);

  Model& model_;
  const LimbeckModelSpec& spec_;
  const Kernels& kernels_;
  Barrier& barrier_;
  Workspace& ws_;
  const BatchView batch_;
  const int32_t output_;
  float* const out_;
  Profile* const profile_;
  const PanelRows rows_;
  const int threads_;
  const Arithmetic arithmetic_;  // of the encoder's linear layers
  const bool first_only_;        // the answer needs the last layer for each sequence's first token alone
  bool together_ = false;        // the batch is one part, which all threads share
  int areas_ = 0;                // that are planned: one, or one for each thread that takes parts
  static constexpr int kCounters = 4;
  // Next item of a stage. A stage takes counter stage % 4 and resets the one two ahead, which nobody uses by then.
  std::atomic<int64_t> counters_[kCounters];
};

}  // namespace limbeck

#endif  // LIMBECK_MODEL_FORWARD_H_
