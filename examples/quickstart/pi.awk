# Estimates pi from points drawn at random in a square: awk -v seed=1 -f pi.awk
BEGIN {
  srand(seed)
  points = 300000
  for (i = 0; i < points; i++) {
    x = rand(); y = rand()
    hits += x * x + y * y < 1
  }
  printf "%.5f\n", 4 * hits / points
}
