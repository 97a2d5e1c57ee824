CREATE TABLE `purged_late` (
	`id` integer PRIMARY KEY NOT NULL,
	`store_id` integer NOT NULL,
	`book` text NOT NULL,
	`number` integer NOT NULL,
	`kind` text NOT NULL,
	`late` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `purged_late_number` ON `purged_late` (`store_id`,`book`,`number`);--> statement-breakpoint
INSERT INTO `purged_late` (`store_id`, `book`, `number`, `kind`, `late`)
	SELECT p.`store_id`, json_extract(b.`value`, '$[0]'), json_extract(l.`value`, '$.number'), json_extract(l.`value`, '$.kind'), l.`value`
	FROM `purged` p, json_each(p.`remains`, '$.books') b, json_each(b.`value`, '$[1].late') l
	ORDER BY p.`store_id`, b.`key`, l.`key`;--> statement-breakpoint
UPDATE `purged` SET `remains` = json_set(`remains`, '$.books', json((
	SELECT '[' || coalesce(group_concat(json_remove(`value`, '$[1].late'), ',' ORDER BY `key`), '') || ']' FROM json_each(`remains`, '$.books'))));
