#include "base/vec_avx2.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/attention_s16/attention_s16.h"

namespace limbeck {
namespace {

constexpr int kTileVecs = 2;
constexpr int kTileRows = 4;

inline void DotPairs(IntVec& sum, IntVec lanes, IntVec weights) {
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(lanes, weights));
}

}  // namespace
}  // namespace limbeck

#include "kernels/attention_s16/body.inc"

namespace limbeck {

void attention_s16_avx2(const AttentionArgs& args) { Run(args); }

}  // namespace limbeck
