import java.io.*;
import java.util.*;

/** Writes a stream with everything that the reader of her2qp knows, for its tests. */
public class WriteStream {
    enum Grade { LOW, HIGH }

    static class Base implements Serializable {
        private static final long serialVersionUID = 7L;
        int number;
        String label;
    }

    static class Derived extends Base {
        private static final long serialVersionUID = 8L;
        double value;
        boolean flag;
        float[] numbers;
        Object other;

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.writeInt(number);
            out.writeObject(label);
        }
    }

    public static class Outside implements Externalizable {
        private static final long serialVersionUID = 9L;

        public void writeExternal(ObjectOutput out) throws IOException {
            for (int i = 0; i < 700; i++)
                out.writeInt(i);
            out.writeObject("inside");
            out.writeDouble(0.5);
        }

        public void readExternal(ObjectInput in) {
        }
    }

    static Derived derived(int i, String label, Object other) {
        Derived d = new Derived();
        d.number = i;
        d.value = i / 8.0;
        d.flag = i % 2 == 0;
        d.label = label;
        d.numbers = new float[] {i, -i, Float.NaN};
        d.other = other;
        return d;
    }

    public static void main(String[] args) throws IOException {
        try (ObjectOutputStream out = new ObjectOutputStream(new FileOutputStream(args[0]))) {
            out.writeUTF("header");
            out.writeObject("text \u00e4 \u4e2d \ud83d\udd2c \u0000 end");
            out.writeObject("x".repeat(70000));
            String[] shared = {"one", "two", "three"};
            List<Object> many = new ArrayList<>();
            for (int i = 0; i < 300; i++)
                many.add(derived(i, shared[i % 3], Grade.values()[i % 2]));
            out.writeObject(many);
            out.writeObject(List.of(many.get(150), many.get(299), many));
            out.writeObject(new Outside());
            Map<Object, Object> map = new LinkedHashMap<>(Map.of("a", 1));
            map.put("class", String.class);
            map.put("grades", EnumSet.allOf(Grade.class).toArray());
            map.put("nested", new int[][] {{1, 2}, {}, null});
            out.writeObject(map);
            out.writeLong(42);
        }
    }
}
