// Softmax attention of one head within one sequence, its products in 16-bit integers, for the int8 models.
//
// Queries and keys become whole numbers of up to kMost = min(8191, sqrt(2^31 / head width)) by a scale of each token;
// values, of up to kMostValue = (2^31 - 1) / (16383 * min(length, 512)). Products and their sums are exact in int32.
//
//   x16 = clamp(round(x * (kMost / max|x|)), -kMost, kMost); xs = max|x| * (1 / kMost)    of a token, over the head
//   s[k] = float(sum over d of q16[d] * k16[k][d]) * ((qs * scale) * ks[k])
//   p[k] = exp(s[k] - max s);  total = sum of p[k]                 k in the sequence's own order
//   u[k] = clamp(round(p[k] * (vs[k] * (16383 / max vs))), 0, 16383)   max over the sequence
//   out[d] = ((sum over blocks of 512 keys of float(sum of v16[k][d] * u[k])) * (max vs * (1 / 16383))) / total
//
// A maximum leaves out what is no number; where max|x| or max vs does not exceed kFlatRange, the factor behind it is 0.
// Queries lie in the lanes of their panels, so an answer depends neither on where the sequence lies in its batch nor on
// how queries are grouped.
#ifndef LIMBECK_KERNELS_ATTENTION_S16_H_
#define LIMBECK_KERNELS_ATTENTION_S16_H_

#include "kernels/attention_f32/attention_f32.h"
#include "kernels/quantize_f32_u8/quantize_f32_u8.h"

namespace limbeck {

constexpr int kMostProbability = 16383;
constexpr int64_t kSumKeys = 512;  // keys whose products one integer sum holds

static inline int32_t MostOfQueries(int64_t head_width) {
  auto most = static_cast<int32_t>(__builtin_sqrt(2147483647.0 / static_cast<double>(head_width)));
  if (most > 8191) return 8191;
  while (static_cast<int64_t>(most) * most * head_width > 2147483647) --most;
  return most > 1 ? most : 1;
}

static inline int32_t MostOfValues(int64_t length) {
  const int64_t keys = length < kSumKeys ? length : kSumKeys;
  const int64_t most = 2147483647 / (kMostProbability * keys);
  return static_cast<int32_t>(most < 8191 ? most : 8191);
}

// Floats of scratch, for sequences of up to `length` tokens.
static inline int64_t AttentionS16Scratch(int64_t length, int64_t head_width) {
  const int64_t tokens = RoundUp(length, kLanes) + 2 * kLanes;
  const int64_t pairs = RoundUp(head_width, 2) / 2;
  return tokens * pairs                  // keys
         + kMaxQueries * pairs           // queries
         + tokens * head_width / 2 + 16  // values
         + 2 * tokens + kMaxQueries      // scales
         + tokens * kMaxQueries          // scores
         + tokens / 2 * kMaxQueries      // probabilities
         + (length > kSumKeys ? head_width * kMaxQueries : 0) +
         8 * kLanes;  // each piece starts at a multiple of 64 bytes
}

#define LIMBECK_KERNEL(function, isa) void function(const AttentionArgs& args);
#include "kernels/attention_s16/list.inc"
#undef LIMBECK_KERNEL

}  // namespace limbeck

#endif  // LIMBECK_KERNELS_ATTENTION_S16_H_
