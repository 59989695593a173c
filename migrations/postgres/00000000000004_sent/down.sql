DROP TABLE sent_marks;
