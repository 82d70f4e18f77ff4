-- additive
ALTER TABLE `signing_keys` ADD `longest_life` integer DEFAULT 0 NOT NULL;