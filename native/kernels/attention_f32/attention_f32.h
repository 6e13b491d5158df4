// Softmax attention of one head within one sequence, on packed panels, for some of its queries.
//
//   s[k] = sum over d of (q[d] * scale) * key[k][d]      d in order
//   p[k] = exp(s[k] - max s);  total = sum of p[k]       k in the sequence's own order
//   out[d] = (sum over k of value[k][d] * p[k]) / total  k in the sequence's own order
//
// Queries lie in the lanes, keys are taken one by one from the sequence's start, so an answer depends neither on where
// the sequence lies in its batch nor on how queries are grouped.
#ifndef LIMBECK_KERNELS_ATTENTION_F32_H_
#define LIMBECK_KERNELS_ATTENTION_F32_H_

#include "base/types.h"

namespace limbeck {

constexpr int kMaxQueries = 32;  // queries that one pass over the keys serves, at the most

struct AttentionArgs {
  const float* in;  // [panels][in_rows][16]: queries, keys and values of every head
  int64_t in_rows;
  int64_t query_row;  // first feature row of this head's queries, keys, values
  int64_t key_row;
  int64_t value_row;
  int64_t head_width;
  float scale;          // 1 / sqrt(head width)
  int64_t first_token;  // the sequence: tokens first_token .. first_token + length - 1 of `in`
  int64_t length;
  int64_t queries;  // its first `queries` tokens ask
  float* out;       // [panels][out_rows][16]
  int64_t out_rows;
  int64_t out_row;    // first feature row of this head in out
  int64_t out_token;  // where the first query's answer goes
  float* scratch;     // AttentionScratch (AttentionS16Scratch) floats, 64-byte aligned
};

static inline int64_t AttentionScratch(int64_t length, int64_t head_width) {
  return (length + head_width + 1) * kMaxQueries;
}

using AttentionFn = void (*)(const AttentionArgs& args);

#define LIMBECK_KERNEL(function, isa) void function(const AttentionArgs& args);
#include "kernels/attention_f32/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_ATTENTION_F32_H_
