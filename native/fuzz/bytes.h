// Fuzzer input as a stream of decisions, taken from the front. Used up, it answers 0 for ever: what every decision
// takes for the plainest choice, so that short inputs are sound models.
#ifndef LIMBECK_FUZZ_BYTES_H_
#define LIMBECK_FUZZ_BYTES_H_

#include <cstddef>
#include <cstdint>

namespace limbeck::fuzz {

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), end_(data + size) {}

  uint8_t Byte() { return data_ == end_ ? 0 : *data_++; }
  uint32_t Word() {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word = word << 8 | Byte();
    return word;
  }
  // 0 .. count - 1, for counts up to 256.
  int Below(int count) { return Byte() % count; }
  int In(int low, int high) { return low + Below(high - low + 1); }
  // False once the input is used up.
  bool OneIn(int count) { return Below(count) == count - 1; }
  template <typename T, size_t kCount>
  T Pick(const T (&choices)[kCount]) {
    return choices[Below(static_cast<int>(kCount))];
  }

 private:
  const uint8_t* data_;
  const uint8_t* end_;
};

}  // namespace limbeck::fuzz

#endif  // LIMBECK_FUZZ_BYTES_H_
