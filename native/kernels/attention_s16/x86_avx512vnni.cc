#include "base/vec_avx512.h"
// (the vector header comes first: it defines what the next ones build on)
#include "base/math_vec.h"
#include "kernels/attention_s16/attention_s16.h"

namespace limbeck {
namespace {

constexpr int kTileVecs = 2;
constexpr int kTileRows = 8;

inline void DotPairs(IntVec& sum, IntVec lanes, IntVec weights) {
  // An instruction rather than the intrinsic: see kernels/dot_avx512vnni.h.
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(lanes), "v"(weights));
}

}  // namespace
}  // namespace limbeck

#include "kernels/attention_s16/body.inc"

namespace limbeck {

void attention_s16_avx512vnni(const AttentionArgs& args) { Run(args); }

}  // namespace limbeck
