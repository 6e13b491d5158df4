// A loaded encoder: packed layers, and everything that one forward pass needs.
//
// In: spec and checked weights, then packed batches. Out: float32 logits, hidden states or pooled vectors.
// Neighbours: ops/ and kernels/ compute, bind/ calls.
#ifndef LIMBECK_MODEL_MODEL_H_
#define LIMBECK_MODEL_MODEL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/pool.h"
#include "base/slab.h"
#include "bind/limbeck.h"
#include "kernels/kernels.h"
#include "model/weights.h"
#include "model/workspace.h"
#include "ops/linear.h"

namespace limbeck {

class Profile;

struct Norm {
  const float* gain = nullptr;
  const float* bias = nullptr;
};

// The range of an int8 layer's inputs when it is known beforehand.
struct StaticRange {
  const float* low = nullptr;  // [16], the same for each token; null: every token has a range of its own
  const float* high = nullptr;
  float inverse = 0.0f;
  float scale = 0.0f;
  int32_t zero = 0;
};

struct Layer {
  Linear qkv;  // query, key and value stacked: [3C, C]
  Linear output;
  Linear ffn_in;
  Linear ffn_out;
  Norm attention_norm;
  Norm ffn_norm;
  StaticRange qkv_range;
  StaticRange output_range;
  StaticRange ffn_in_range;
  StaticRange ffn_out_range;
};

struct Embeddings {
  const float* word_f32 = nullptr;  // [V, C], the caller's memory
  const int8_t* word_s8 = nullptr;  // [V, C], the caller's memory
  const float* word_scale = nullptr;
  const float* position = nullptr;
  const float* type = nullptr;  // null: no token types
  Norm norm;
};

// What one pass at a time has for itself: threads and the memory of activations.
struct Instance {
  explicit Instance(int threads) : pool(threads), barrier(threads) {}
  Pool pool;
  Barrier barrier;
  Workspace workspace;
  std::mutex mutex;
};

class Model {
 public:
  // So many instances of `threads` threads each share the packed weights.
  Model(const LimbeckModelSpec& spec, const LimbeckTensor* tensors, int32_t count, Isa isa, int threads, int instances);

  const LimbeckModelSpec& spec() const { return spec_; }

  int threads() const { return instances_.front()->pool.threads(); }
  // Spans that one thread can come to in a pass over so many sequences and tokens.
  size_t MostSpans(int64_t sequences, int64_t tokens) const;

  // With `profile`, notes what every thread does. Throws Error on ids out of range, sequences too long, wrong sizes.
  // Callers from several threads run side by side, one in each instance; further ones take turns. A pass that is
  // `alone` gets as many threads as all instances have together.
  void Forward(const int32_t* ids, const int32_t* type_ids, const int32_t* cu_seqlens, int32_t sequences,
               int32_t output, float* out, int64_t out_size, bool alone = false, Profile* profile = nullptr);

  std::string Describe();

 private:
  friend class ForwardPass;

  Norm CopyNorm(const Weights& weights, const std::string& prefix);
  StaticRange TakeRange(const Weights& weights, const std::string& name);
  const float* CopyFloats(const Weights& weights, const std::string& name);
  // An instance, and the lock that makes it the caller's.
  std::pair<Instance*, std::unique_lock<std::mutex>> TakeInstance();
  // The one for a pass that is alone, made at the first such pass: whoever never asks for it pays no threads.
  std::pair<Instance*, std::unique_lock<std::mutex>> TakeAll();
  int64_t OutputSize(int32_t output, int64_t tokens, int64_t sequences) const;
  void CheckBatch(const int32_t* ids, const int32_t* type_ids, const int32_t* cu_seqlens, int32_t sequences) const;

  const LimbeckModelSpec spec_;
  const Isa isa_;
  const Kernels kernels_;
  Slab slab_;  // packed weights and every float vector
  Embeddings embeddings_;
  std::vector<Layer> layers_;
  Linear head_dense_;
  Linear classifier_;
  std::vector<std::unique_ptr<Instance>> instances_;
  std::atomic<uint32_t> next_{0};  // the instance that a caller waits for when none is free
  std::mutex all_mutex_;
  std::unique_ptr<Instance> all_;  // guarded by all_mutex_
};

}  // namespace limbeck

#endif  // LIMBECK_MODEL_MODEL_H_
