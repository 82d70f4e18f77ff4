-- additive
CREATE TABLE `tries` (
	`key` text PRIMARY KEY NOT NULL,
	`spent` integer NOT NULL,
	`ends_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `tries_ends` ON `tries` (`ends_at`);