// Constants and small types that kernels, ops and model share. No STL: files built for one instruction set include it.
//
// Activations live in panels of 16 tokens, tokens in the lanes: float panels are [C][16], the inputs of int8 layers
// [K / 4][16][4] u8. Token t of a batch is lane t % 16 of panel t / 16, whatever sequence it belongs to; reductions run
// down a lane, never across, so no token's arithmetic depends on its neighbours.
#ifndef LIMBECK_BASE_TYPES_H_
#define LIMBECK_BASE_TYPES_H_

#include <cstdint>

namespace limbeck {

constexpr int kLanes = 16;    // tokens in a panel
constexpr int kRowGroup = 8;  // output rows that share each activation load; packed weights come in such groups
constexpr int kQuad = 4;      // inputs that one int8 dot-product instruction sums

enum class Activation : int32_t { kGelu = 0, kGeluTanh = 1, kRelu = 2, kTanh = 3, kIdentity = 4 };

enum class Isa : int32_t { kReference = 0, kAvx2 = 1, kAvxVnni = 2, kAvx512Vnni = 3 };

static constexpr int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace limbeck

#endif  // LIMBECK_BASE_TYPES_H_
