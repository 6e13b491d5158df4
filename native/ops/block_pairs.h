// Puts the blocks of an int8 layer in pairs whose products can be summed in 16 bits.
//
// AVX2 multiplies bytes fast only into 16 bits, and there two products of 255 * 127 overflow. A pair of blocks is safe
// where, in each row and each half of the four inputs, the positive weights of both sum to at most 128, and so do the
// negative ones: whatever the inputs, 255 * 128 fits. Weights of a layer mostly allow that if the right blocks meet. A
// block that is not even safe alone may be once every second of its inputs is turned around:
//
//   a0 * w0 + a1 * w1 = a0 * w0 + (255 - a1) * -w1 + 255 * w1
//
// where the last term is known beforehand. What is unsafe either way is stored as two halves, which sum to it.
// (FBGEMM's 16-bit kernels, Khudia et al. 2021, arXiv 2101.05615, take large weights out into a sparse matrix instead.)
//
// In: blocks of one row of blocks. Out: what to store in which order. Neighbours: ops/linear.cc packs by it,
// kernels/spmm_u8s8_s32/x86_avx2.cc multiplies.
#ifndef LIMBECK_OPS_BLOCK_PAIRS_H_
#define LIMBECK_OPS_BLOCK_PAIRS_H_

#include <cstdint>
#include <vector>

namespace limbeck {

// The highest block that can be paired.
constexpr int kMostPairedRows = 4;

// What is stored of a block: its weights; these with every second one negated; its halves (quotients towards zero by 2,
// and what is then left); or nothing where no other block fits beside its partner.
enum class BlockPart : uint8_t { kWhole, kTurned, kHalf, kRest, kNothing };

struct PairedBlock {
  uint16_t quad;
  BlockPart part;
};

// The weight that `part` of a block stores of `weight`, which is input `k`'s.
int8_t StoredWeight(BlockPart part, int8_t weight, int64_t k);

class BlockPairer {
 public:
  // The next block of the row of blocks, `w` [rows][4].
  void Add(uint16_t quad, const int8_t* w, int64_t rows);
  // Appends the blocks added so far, two by two, and begins anew. Returns how many of these come first: they are not
  // turned, and the others are, but for parts that hold nothing.
  int64_t Finish(std::vector<PairedBlock>& order);

 private:
  // Half of what the positive and the negative weights of each half row sum to, rounded up, a byte each, and the
  // largest of them: safe up to 64.
  struct Limits {
    uint64_t positive;
    uint64_t negative;
    int32_t largest;
  };
  struct Candidate {
    PairedBlock block;
    bool taken;
    Limits limits;
    Limits turned;
  };

  static bool Safe(const Limits& limits);
  static bool Fit(const Limits& one, const Limits& other);
  static void LimitsOf(const int8_t* w, int64_t rows, Limits& as_is, Limits& turned);
  static void Sort(std::vector<Candidate>& candidates, Limits Candidate::* by, std::vector<Candidate>& sorted);
  void PairTurned();
  void PairOthers(std::vector<PairedBlock>& order);

  std::vector<Candidate> as_is_;   // safe as they are
  std::vector<Candidate> turned_;  // safe only if turned
  std::vector<Candidate> sorted_;
  std::vector<Candidate> sorted_turned_;
  std::vector<int32_t> next_;
  std::vector<PairedBlock> last_;
};

}  // namespace limbeck

#endif  // LIMBECK_OPS_BLOCK_PAIRS_H_
