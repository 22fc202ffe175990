package mrse.peer;

/** Arithmetic on dense vectors; a missing one counts as zeros. */
final class Vectors {

    private Vectors() {}

    static double dot(float[] left, float[] right) {
        if (left == null || right == null) {
            return 0;
        }
        double sum = 0;
        for (int i = 0; i < Math.min(left.length, right.length); i++) {
            sum += (double) left[i] * right[i];
        }
        return sum;
    }

    /** Vespa's closeness under prenormalized-angular: the stored vector's norm is not divided out. */
    static double closeness(float[] query, float[] stored) {
        if (stored == null) {
            return 0;
        }
        double norm = dot(query, query);
        double cosine = norm > 0 ? dot(query, stored) / norm : 0;
        return 1 / (2 - Math.max(-1, Math.min(1, cosine)));
    }

    /** Vespa's closeness under angular, which divides by both norms. */
    static double angularCloseness(float[] query, float[] stored) {
        if (stored == null) {
            return 0;
        }
        double norms = Math.sqrt(dot(query, query) * dot(stored, stored));
        double cosine = norms > 0 ? dot(query, stored) / norms : 0;
        return 1 / (1 + Math.acos(Math.max(-1, Math.min(1, cosine))));
    }
}
