-- additive
CREATE TABLE `job_failures` (
	`name` text PRIMARY KEY NOT NULL,
	`failed_at` integer NOT NULL,
	`problem` text NOT NULL
);
