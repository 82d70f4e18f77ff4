DROP TABLE "tries";
