DROP TABLE `tries`;
